"""Why the sandbox refuses a request, in each of the shapes that clients of the real service may meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.sandbox.faults import Endpoint
from tests.sandbox.switches import Switches


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and with which field of the request if with one."""

    field: str | None
    message: str

    def __str__(self) -> str:
        return self.message if self.field is None else f"{self.field}: {self.message}"


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, problems: Sequence[Problem], *, status: int = 422) -> None:
        self.problems = tuple(problems)
        self.status = status
        super().__init__("; ".join(map(str, problems)))


def refusal(refused: Refused, endpoint: Endpoint, switches: Switches) -> tuple[int, dict[str, Any]]:
    """HTTP status and body."""
    shape = switches.error_shape
    if shape == "documented":
        shape = "error" if endpoint == "submit" and refused.status == 422 else "detail"
    natural = 200 if shape == "error" else refused.status
    status = 401 if refused.status == 401 else switches.error_status or natural
    text = str(refused)
    match shape:
        case "error":
            return status, {"success": False, "error": text}
        case "detail":
            return status, {"success": False, "detail": text}
        case "detail_list":
            return status, {
                "detail": [
                    {"loc": ["body", *filter(None, [problem.field])], "msg": problem.message, "type": "value_error"}
                    for problem in refused.problems
                ]
            }
        case "err":
            return status, {"err": text}
