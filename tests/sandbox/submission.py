"""The request of submit_task and the rules of the page's validation table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.sandbox.devices import Device, Target, parse_target
from tests.sandbox.refusals import Problem, Refused

MAX_SHOTS = 1_000_000
DEFAULT_SHOTS = 1024


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that keeps the rules. Of a batch, `sources` and `shots` have one item per circuit."""

    target: Target
    sources: tuple[str, ...]
    shots: tuple[int, ...]
    batch: bool
    prior: int
    remarks: str | None
    group: str | None


def as_batch(requests: Sequence[Any]) -> dict[str, Any]:
    """The documented form of a batch from what the vendor's SDK sends: an array of requests, alike but for circuit and
    shots."""
    if not requests or not all(isinstance(each, dict) for each in requests):
        raise Refused([Problem(None, "a batch is a non-empty array of requests")])
    own = ("source", "circuit", "shots")
    common = [{name: value for name, value in each.items() if name not in own} for each in requests]
    if any(each != common[0] for each in common):
        raise Refused([Problem(None, "the requests of a batch may differ in source and shots only")])
    sources = [each.get("source", each.get("circuit")) for each in requests]
    return {**common[0], "source": sources, "shots": [each.get("shots", DEFAULT_SHOTS) for each in requests]}


def read_submission(body: Mapping[str, Any], devices: Mapping[str, Device]) -> Submission:
    """Check every field; Refused lists all that is wrong, naming the fields."""
    problems: list[Problem] = []

    def check(holds: bool, field: str, message: str) -> bool:
        if not holds:
            problems.append(Problem(field, message))
        return holds

    target: Target | None = None
    device = body.get("device")
    if check(isinstance(device, str) and device != "", "device", "a device ID is required"):
        try:
            target = parse_target(str(device), devices)
        except ValueError as error:
            problems.append(Problem("device", str(error)))

    field = "source" if body.get("source") is not None or body.get("circuit") is None else "circuit"
    given = body.get(field)
    batch = isinstance(given, list)
    sources = tuple(given) if isinstance(given, list) else (given,)
    if check(given is not None, "source", "either source or circuit must be given"):
        check(
            bool(sources) and all(isinstance(source, str) and source.strip() for source in sources),
            field,
            "must be OpenQASM 2.0 text, or a non-empty array of such texts",
        )

    asked = body.get("shots", DEFAULT_SHOTS)
    shots = tuple(asked) if isinstance(asked, list) else (asked,) * len(sources)
    check(
        bool(shots) and all(_is_integer(number) and 1 <= number <= MAX_SHOTS for number in shots),
        "shots",
        f"must be an integer from 1 to {MAX_SHOTS}, or an array of such integers",
    )
    if isinstance(asked, list):
        check(batch and len(shots) == len(sources), "shots", "an array needs an array source of the same length")

    prior = body.get("prior", 1)
    check(_is_integer(prior) and 1 <= prior <= 10, "prior", "must be an integer from 1 to 10")
    check(body.get("version", "1") == "1", "version", 'only "1" is supported')
    check(body.get("lang", "OPENQASM") == "OPENQASM", "lang", 'only "OPENQASM" is supported')
    for name in ("remarks", "group"):
        check(isinstance(body.get(name), str | None), name, "must be a string")

    if problems or target is None:
        raise Refused(problems)
    return Submission(target, sources, shots, batch, prior, body.get("remarks"), body.get("group"))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
