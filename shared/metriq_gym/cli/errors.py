"""From an exception to what a person is told, and to the exit code that a script is."""

from __future__ import annotations

from pydantic import ValidationError

from metriq_gym.cli.lazy import load
from metriq_gym.client.configurations import NoConfiguration
from metriq_gym.client.lookup import AmbiguousName
from metriq_gym.errors import InvalidRequest, MetriqGymError, NotFound, Refused, Transient, Undecided, Unsupported
from metriq_gym.parts import explained
from metriq_gym.settings import PREFIX
from metriq_gym.wording import shorten

FAILED, USAGE, NOTHING, AWAY, UNFINISHED, HELD, DEFECT = 1, 2, 3, 4, 5, 6, 70


class Usage(MetriqGymError):
    """The command cannot be meant like that."""


def explain(error: Exception) -> tuple[str, int]:
    """Return the message for an error and its exit code."""
    match error:
        case InvalidRequest():
            return "\n".join(["the request cannot be accepted:", *(f"  {each}" for each in error.problems)]), FAILED
        case Usage() | NoConfiguration() | AmbiguousName():
            return str(error), USAGE
        case ValidationError() if error.title == "Settings":
            lines = (f"  {PREFIX}{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())
            return "\n".join(["a setting cannot be used:", *lines]), USAGE
        case Unsupported():
            return f"unsupported: {error}", FAILED
        case NotFound():
            return str(error), NOTHING
        case Undecided():
            return str(error), HELD
        case Refused():
            return _refusal(error), FAILED
        case Transient():
            hint = "" if "mgym doctor" in str(error) else "; `mgym doctor` says what is away"
            return f"{error}\ntry again later{hint}", AWAY
        case MetriqGymError():
            return str(error), FAILED
        case ModuleNotFoundError() if (missing := explained(error)) is not None:
            return str(missing), FAILED
        case OSError() if error.filename is not None:
            return f"cannot use {error.filename}: {error.strerror}", FAILED
        case OSError():
            return str(error), FAILED
    found = shorten(" ".join(str(error).split()))
    return (
        f"{type(error).__name__}: {found}\nthis is a defect; `mgym --debug …` shows where, please report it",
        DEFECT,
    )


def _refusal(error: Refused) -> str:
    if error.needs is None:
        return str(error)
    may = load("metriq_gym.operations.access.rights:users_who_may")(*error.needs)
    return f"{error}; users that may: {', '.join(may)}" if may else str(error)
