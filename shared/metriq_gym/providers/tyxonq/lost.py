"""Looks for a submission whose answer was lost, among the tasks that the service lists."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, JsonValue
from pydantic_core import from_json

from metriq_gym.errors import InvalidRequest
from metriq_gym.providers.provider import Adopted, Ambiguous, LostSubmission, NotAccepted
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.models import TaskRow

CLOCK_SKEW = timedelta(minutes=6)
"""How far the service's clock may be from the store's. Recordings show tens of seconds; but who rules out a task that
was submitted submits it twice, and who does not at worst asks an operator."""


def with_tag(remarks: str | None, tag: str) -> str:
    """Return the remarks of a submission that `match_lost_submission` can find by `tag`."""
    return f"{remarks} {tag}" if remarks else tag


def match_lost_submission(
    known_ids: Collection[str],
    rows: Sequence[TaskRow],
    *,
    lost: LostSubmission,
    others: Sequence[LostSubmission] = (),
    complete: bool,
) -> Adopted | NotAccepted | Ambiguous:
    """Decide what became of a submission without an answer. Call it a settling time after the submission.

    A row that carries the tag is the task. Without one, a new row is told by device, shots and time: it is ruled out
    if one of these differs, and adopted if nothing else could be the task, its device is right and so is its time or
    its number of shots (often unknown: neither is documented to be listed), and if it could not be that of another
    submission of ours without an answer.

    Parameters
    ----------
    known_ids:
        Ids listed before the submission, and those of all other tasks of ours since then.
    rows:
        What is listed now, preferably not filtered by device.
    lost:
        What was submitted. Its tag occurs in its remarks (see `with_tag`) and in no other's; letters, digits and
        ``._:-``.
    others:
        All other submissions of ours of which it is not known whether they were accepted.
    complete:
        Whether `rows` are known to be all there are. They are not if a known id is missing from them, whatever is
        said here.
    """
    known = set(known_ids)
    listed = {row.job_name for row in rows}
    new = {row.job_name: row for row in rows if row.job_name is not None and row.job_name not in known}

    tag = lost.submission.tag
    tagged = [name for name, row in new.items() if mentions(row, tag)]
    if len(tagged) == 1:
        return Adopted(tagged[0])
    if tagged:
        return Ambiguous("several tasks carry the tag", tuple(tagged))
    if any(row.job_name is None and mentions(row, tag) for row in rows):
        return Ambiguous("a task without an id carries the tag")

    verdicts = {name: _Evidence.of(row, lost) for name, row in new.items()}
    possible = tuple(name for name, evidence in verdicts.items() if not evidence.rules_out)
    nameless = [row for row in rows if row.job_name is None]
    if any(not _Evidence.of(row, lost).rules_out for row in nameless):
        return Ambiguous("a task without an id may be the one", possible)
    if len(possible) > 1:
        return Ambiguous("several new tasks may be the one", possible)
    if not (complete and known <= listed):
        return Ambiguous("the list of tasks may be incomplete", possible)
    if not possible:
        return NotAccepted()
    if any(_said(row, "remarks") for row in rows):
        # The service shows remarks, so ours would show the tag.
        return Ambiguous("a new task looks like the one but lacks the tag", possible)
    if not verdicts[possible[0]].convinces:
        return Ambiguous("a new task may be the one, too little is known of it", possible)
    found = new[possible[0]]
    if rivals := [each.submission.tag for each in others if not _Evidence.of(found, each).rules_out]:
        return Ambiguous(f"the new task may be that of {', '.join(rivals)} as well", possible)
    return Adopted(possible[0])


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Whether each property of a row is right (True), wrong (False) or not known (None)."""

    device: bool | None
    shots: bool | None
    time: bool | None
    tag: bool | None
    """False where other remarks are shown; a row with the tag never gets here."""

    @classmethod
    def of(cls, row: TaskRow, lost: LostSubmission) -> _Evidence:
        created, listed_shots = _time(row.created_at), _said(row, "shots")
        first, last = lost.sent_between
        return cls(
            _same_device(row.device, DeviceString.parse(lost.submission.device)),
            listed_shots == lost.submission.shots if isinstance(listed_shots, int) else None,
            None if created is None else first - CLOCK_SKEW <= created <= last + CLOCK_SKEW,
            False if _said(row, "remarks") else None,
        )

    @property
    def rules_out(self) -> bool:
        """Whether the row cannot be the task."""
        return False in (self.device, self.shots, self.time, self.tag)

    @property
    def convinces(self) -> bool:
        """Whether enough is right."""
        return self.device is True and True in (self.shots, self.time)


def _said(row: TaskRow, name: Literal["shots", "remarks"]) -> JsonValue:
    """Return what a row says, or the parameters in it (an object, possibly as JSON text); None if neither does."""
    value: JsonValue = getattr(row, name)
    if value is not None:
        return value
    parameters = row.parameters
    if isinstance(parameters, str):
        try:
            parameters = from_json(parameters)
        except ValueError:
            return None
    return parameters.get(name) if isinstance(parameters, dict) else None


def _same_device(listed: str | None, device: DeviceString) -> bool | None:
    """Compare flags too if the row has any."""
    if not listed:
        return None
    if "?" not in listed:
        return listed == device.id
    try:
        return DeviceString.parse(listed) == device
    except InvalidRequest:
        return None if listed.startswith(f"{device.id}?") else False


def mentions(answer: BaseModel, tag: str) -> bool:
    """Whether the tag stands alone anywhere in what the service said."""
    return re.search(rf"(?<![\w.:-]){re.escape(tag)}(?![\w.:-])", answer.model_dump_json()) is not None


def _time(value: JsonValue) -> datetime | None:
    """Read a time in ISO 8601 with a zone, or in seconds, milli- or microseconds since the epoch; None if unsure."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value.strip())
            return None if time.tzinfo is None else time
        scale = 1 if value < 1e11 else 1e3 if value < 1e14 else 1e6
        return datetime.fromtimestamp(value / scale, UTC)
    except (ValueError, OverflowError, OSError):
        return None
