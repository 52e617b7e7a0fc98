"""Run a job on threads of this process, or on Ray actors of one machine or a cluster: the same worker either way."""

import json
import logging
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from typing import Any

from tripletclip.errors import UserError, unknown_name
from tripletclip.extras import require
from tripletclip.negatives.contract import Cost
from tripletclip.negatives.job import (
    Job,
    Tally,
    Tell,
    UnreadableError,
    Worker,
    finished_tally,
    hear_nothing,
    is_done,
    tasks,
)

ENGINES = ("local", "ray")


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where a job runs. ``workers`` threads, or Ray actors with ``gpus`` each; ``address`` of a running Ray cluster."""

    engine: str = "local"
    workers: int = 2
    gpus: float = 0.0
    address: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown_name("engine", self.engine, ENGINES)
        if self.workers < 1:
            raise UserError(f"workers is {self.workers}; give at least 1")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a run did: the tally of all shards, what each stage spent in this run, and what went wrong.

    ``broken`` says why it broke off, if it did; ``unreadable`` has a line for each shard that had no source.
    """

    tally: Tally
    costs: dict[str, Cost]
    broken: str = ""
    unreadable: tuple[str, ...] = ()


def run(job: Job, config: EngineConfig, tell: Tell = hear_nothing) -> Ran:
    """Make every shard of ``job`` that is not done. ``tell`` hears tallies as rows are done."""
    return _run_local(job, config, tell) if config.engine == "local" else _run_ray(job, config, tell)


# ---- threads -------------------------------------------------------------------------------------------------------


def _run_local(job: Job, config: EngineConfig, tell: Tell) -> Ran:
    worker, total = Worker(job), Tally()
    running: set[Future[Tally]] = set()
    unreadable: list[str] = []

    def tally_of(ended: Iterable[Future[Tally]]) -> Tally:
        found = Tally()
        for future in ended:
            try:
                found += future.result()
            except UnreadableError as error:
                unreadable.append(str(error))
        return found

    with ThreadPoolExecutor(config.workers) as pool:
        try:
            for number in tasks(job):
                if len(running) >= config.workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    total += tally_of(done)
                if worker.broken:
                    break  # shards that run are finished with failed rows; new ones would hold nothing else
                running.add(pool.submit(worker.make, number, tell))
            total += tally_of(running)
        except BaseException:
            worker.stop()  # threads end after the block that they are in; its rows are in the journal
            raise
    return Ran(tally=total, costs=worker.cost(), broken=worker.broken, unreadable=tuple(unreadable))


# ---- Ray -----------------------------------------------------------------------------------------------------------


class _ShardActor:
    """Holds the stages, and so the models, of one Ray actor."""

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """One task. A user's mistake travels as a value: Ray would wrap it in its own traceback and try again."""
        before = self._worker.cost()
        try:
            made = self._worker.make(int(row["number"]))
        except UnreadableError as error:
            return {"result": json.dumps({"unreadable": str(error)})}
        except UserError as error:
            return {"result": json.dumps({"error": str(error)})}
        spent = {name: asdict(cost - before[name]) for name, cost in self._worker.cost().items()}
        result = {"statuses": dict(made.statuses), "reasons": dict(made.reasons), "made": made.made, "spent": spent}
        return {"result": json.dumps(result | {"broken": self._worker.broken})}


def _run_ray(job: Job, config: EngineConfig, tell: Tell) -> Ran:
    require("ray", "--engine ray", "ray")
    import ray

    ran = Ran(tally=Tally(), costs={})
    todo = []
    for number in tasks(job):
        if is_done(job.out, number):
            ran = _with(ran, finished_tally(job.out, number), {}, "", tell)
        else:
            todo.append({"number": number})
    if not todo:
        return ran
    started = not ray.is_initialized()
    if started:
        # A Ray of our own listens on this machine alone.
        here = {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
        options: dict[str, Any] = {} if config.address else here
        ray.init(address=config.address, logging_level=logging.ERROR, log_to_driver=False, **options)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        shards: Any = ray.data.from_items(todo, override_num_blocks=len(todo))
        shards = shards.map(
            _ShardActor, fn_constructor_args=(job,), concurrency=min(config.workers, len(todo)), num_gpus=config.gpus
        )
        for row in shards.iter_rows():
            result = json.loads(row["result"])
            if "error" in result:
                raise UserError(result["error"])
            if "unreadable" in result:
                ran = replace(ran, unreadable=(*ran.unreadable, result["unreadable"]))
                continue
            made = Tally(statuses=result["statuses"], reasons=result["reasons"], made=result["made"])
            costs = {name: Cost(**spent) for name, spent in result["spent"].items()}
            ran = _with(ran, made, costs, result["broken"], tell)
    finally:
        if started:
            ray.shutdown()
    return ran


def _with(ran: Ran, made: Tally, costs: dict[str, Cost], broken: str, tell: Tell) -> Ran:
    together = {name: ran.costs.get(name, Cost()) + cost for name, cost in costs.items()}
    tell(made, ran.costs | together)
    return replace(ran, tally=ran.tally + made, costs=ran.costs | together, broken=ran.broken or broken)
