"""Processes for training runs: importing torch takes seconds, so one server imports it and each process is a fork."""

import signal
from multiprocessing import forkserver, get_all_start_methods, get_context
from multiprocessing.context import BaseContext


def run_processes() -> BaseContext:
    """The context that makes processes for training runs.

    Where the system has no fork server, each is a fresh interpreter that imports for itself.
    """
    return get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")


def prepare_run_processes() -> None:
    """Let the server import what runs need, at the side. Call it early: the main process has imports of its own."""
    if "forkserver" not in get_all_start_methods():
        return
    forkserver.set_forkserver_preload(["tripletclip.demo"])
    # Ignored signals stay ignored in a new program: Ctrl-C is for the main process, which then stops the others.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, previous)
