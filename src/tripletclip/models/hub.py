"""A folder to the Hugging Face Hub, by its own client.

The token is the client's: ``HF_TOKEN`` or what ``hf auth login`` stored. It is neither read, printed nor kept here.
"""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from tripletclip.data.index import first_line
from tripletclip.errors import UserError

_LOGIN = "set HF_TOKEN to a token that may write, or run: hf auth login"
_WHAT_TO_DO = {
    401: f"the Hub does not know the token; {_LOGIN}",
    403: f"the token may not write there; take a repository of your own, or another token: {_LOGIN}",
    404: "there is no such organisation or repository for this token; check the name",
    409: "the repository exists as something else; take another name",
    429: "the Hub asks to wait; try again later",
}

_NO_ANSWER: tuple[type[Exception], ...] = (
    *(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)), OSError, ValueError,
)  # fmt: skip
"""What the client raises where nobody answers; which HTTP library it uses, and so whose errors, is its version's."""


def check_repository(repo: str) -> None:
    """Raise :class:`UserError` unless ``repo`` is ORG/NAME as the Hub allows it; asks nobody."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"'{repo}' is no name of a repository: {first_line(error)}") from error
    if "/" not in repo:
        raise UserError(f"'{repo}' is no name of a repository: the owner is missing; write ORG/{repo}")


def push_folder(folder: Path, repo: str, *, private: bool, message: str) -> str:
    """Upload ``folder`` as the model repository ``repo`` and return the address of the commit.

    The repository is made where it does not exist. Raises :class:`UserError` with what to do for a refusal of the Hub,
    a missing token, and no network.
    """
    api = HfApi()
    try:
        api.create_repo(repo, repo_type="model", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, repo_type="model", folder_path=folder, commit_message=message, ignore_patterns=[".*"]
        )
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        what = _WHAT_TO_DO.get(status, first_line(error))
        raise UserError(f"cannot push to {repo}: {status or 'no answer'}, {what}") from error
    except LocalTokenNotFoundError as error:
        raise UserError(f"cannot push to {repo}: there is no token; {_LOGIN}") from error
    except _NO_ANSWER as error:
        raise UserError(f"cannot push to {repo}: {first_line(error)}; check the network") from error
    return str(commit.commit_url)
