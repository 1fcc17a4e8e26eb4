"""Looks for a submission whose answer was lost, among the tasks that the service lists.

The list may say little of a task; then the detail of each candidate is asked for, which says its device, shots, qubits
and times.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, JsonValue
from pydantic_core import from_json

from metriq_gym.errors import InvalidRequest
from metriq_gym.providers.provider import Adopted, Ambiguous, LostSubmission, NotAccepted
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.errors import NoAnswer, ProtocolError, TyxonQRefused
from metriq_gym.providers.tyxonq.models import TaskDetail, TaskRow
from metriq_gym.providers.tyxonq.text import readable
from metriq_gym.providers.tyxonq.whole import whole

MOST_CANDIDATES = 50
"""Of how many tasks that may be the one the details are asked for."""
Detail = Callable[[str], Awaitable[TaskDetail]]
CLOCK_SKEW = timedelta(minutes=6)
"""How far the service's clock may be from the store's. Recordings show tens of seconds; but who rules out a task that
was submitted submits it twice, and who does not at worst asks an operator."""


def with_tag(remarks: str | None, tag: str) -> str:
    """Return the remarks of a submission that `match_lost_submission` can find by `tag`."""
    return f"{remarks} {tag}" if remarks else tag


async def find_lost_submission(
    known_ids: Collection[str],
    rows: Sequence[TaskRow],
    *,
    lost: LostSubmission,
    others: Sequence[LostSubmission],
    complete: bool,
    detail: Detail,
) -> Adopted | NotAccepted | Ambiguous:
    """Decide as `match_lost_submission`, with the details of the candidates where the list alone leaves it open.

    Raises what `detail` raises, but for a candidate that the service does not know, or tells of what is not understood.
    """
    verdict = match_lost_submission(known_ids, rows, lost=lost, others=others, complete=complete)
    if not isinstance(verdict, Ambiguous) or not verdict.candidates:
        return verdict
    details: dict[str, TaskDetail] = {}
    for name in verdict.candidates[:MOST_CANDIDATES]:
        try:
            details[name] = await detail(name)
        except (TyxonQRefused, ProtocolError) as error:
            if isinstance(error, NoAnswer):
                raise
            # Then the list is all that is known of it.
    verdict = match_lost_submission(known_ids, rows, lost=lost, others=others, complete=complete, details=details)
    if isinstance(verdict, Ambiguous):
        by_name = {row.job_name: row for row in rows}
        described = tuple(_described(each, by_name[each], details.get(each)) for each in verdict.candidates)
        return replace(verdict, described=described)
    return verdict


def match_lost_submission(
    known_ids: Collection[str],
    rows: Sequence[TaskRow],
    *,
    lost: LostSubmission,
    others: Sequence[LostSubmission] = (),
    complete: bool,
    details: Mapping[str, TaskDetail] | None = None,
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
    details:
        What the service says of some of the tasks when it is asked about them alone.
    complete:
        Whether `rows` are known to be all there are. They are not if a known id is missing from them, whatever is
        said here.
    """
    known = set(known_ids)
    listed = {row.identity for row in rows}
    shows_remarks = any(_said(row, "remarks") for row in rows)
    # What was listed before, with or without an id, is not what was submitted after.
    rows = [row for row in rows if row.identity not in known]
    new = {row.job_name: row for row in rows if row.job_name is not None}

    details = details or {}
    tag = lost.submission.tag
    tagged = [name for name, row in new.items() if mentions(row, tag) or _mentions(details.get(name), tag)]
    if len(tagged) == 1:
        return Adopted(tagged[0])
    if tagged:
        return Ambiguous("several tasks carry the tag", tuple(tagged))
    if any(row.job_name is None and mentions(row, tag) for row in rows):
        return Ambiguous("a task without an id carries the tag")

    verdicts = {name: _Evidence.of(row, details.get(name), lost) for name, row in new.items()}
    possible = tuple(name for name, evidence in verdicts.items() if not evidence.rules_out)
    nameless = [row for row in rows if row.job_name is None]
    if any(not _Evidence.of(row, None, lost).rules_out for row in nameless):
        return Ambiguous("a task without an id may be the one", possible)
    if len(possible) > 1:
        return Ambiguous("several new tasks may be the one", possible)
    if not (complete and known <= listed):
        return Ambiguous("the list of tasks may be incomplete", possible)
    if not possible:
        return NotAccepted()
    if shows_remarks:
        # The service shows remarks, so ours would show the tag.
        return Ambiguous("a new task looks like the one but lacks the tag", possible)
    if not verdicts[possible[0]].convinces:
        return Ambiguous("a new task may be the one, too little is known of it", possible)
    name = possible[0]
    found = new[name]
    if rivals := [each.submission.tag for each in others if not _Evidence.of(found, details.get(name), each).rules_out]:
        return Ambiguous(f"the new task may be that of {', '.join(rivals)} as well", possible)
    return Adopted(name)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Whether each property of a row is right (True), wrong (False) or not known (None)."""

    device: bool | None
    shots: bool | None
    time: bool | None
    tag: bool | None
    """False where other remarks are shown; a row with the tag never gets here."""
    qubits: bool | None = None

    @classmethod
    def of(cls, row: TaskRow, detail: TaskDetail | None, lost: LostSubmission) -> _Evidence:
        detail = detail or TaskDetail()
        shots = detail.shots if detail.shots is not None else _said(row, "shots")
        return cls(
            _same_device(detail.device or row.device, DeviceString.parse(lost.submission.device)),
            None if (listed := whole(shots)) is None else listed == lost.submission.shots,
            _in_time(row, detail, lost.sent_between),
            False if _said(row, "remarks") else None,
            # Of a circuit that was not understood nothing is counted.
            None if detail.err else _same_qubits(detail.qubits, lost.submission.source),
        )

    @property
    def rules_out(self) -> bool:
        """Whether the row cannot be the task."""
        return False in (self.device, self.shots, self.time, self.tag, self.qubits)

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


def _in_time(row: TaskRow, detail: TaskDetail, sent_between: tuple[datetime, datetime]) -> bool | None:
    """Tell by the time of acceptance; without one, a task that has not changed since before cannot be the one."""
    first, last = sent_between
    stamps = detail.ts if isinstance(detail.ts, dict) else {}
    accepted = _time(stamps.get("scheduled")) or _time(stamps.get("pending")) or _time(row.created_at)
    if accepted is not None:
        return first - CLOCK_SKEW <= accepted <= last + CLOCK_SKEW
    changed = _time(detail.at)
    return False if changed is not None and changed < first - CLOCK_SKEW else None


def _same_qubits(said: JsonValue, source: str) -> bool | None:
    """Compare with the register's size and with the qubits that are used; unsure for a task of more than both.

    The page's own task has as many as its circuit. But a service that counts a task's qubits after mapping it to the
    device says more.
    """
    declared = re.search(r"^qreg q\[(\d+)\];", source, re.MULTILINE)
    qubits = whole(said)
    if declared is None or qubits is None or qubits < 1:
        return None
    body = source[declared.end() :]
    sizes = {int(declared[1]), len(set(re.findall(r"q\[(\d+)\]", body)))}
    if qubits in sizes:
        return True
    return None if qubits > max(sizes) else False


def _described(name: str, row: TaskRow, detail: TaskDetail | None) -> dict[str, str]:
    """Return what is known of a candidate, for a person who is to decide."""
    detail = detail or TaskDetail()
    stamps = detail.ts if isinstance(detail.ts, dict) else {}
    accepted = _time(stamps.get("scheduled")) or _time(stamps.get("pending")) or _time(row.created_at)
    known = {
        "device": detail.device or row.device,
        "shots": detail.shots if detail.shots is not None else _said(row, "shots"),
        "qubits": detail.qubits,
        "state": detail.state or row.status,
        "accepted": accepted and accepted.isoformat(timespec="seconds"),
        "changed": (changed := _time(detail.at)) and changed.isoformat(timespec="seconds"),
        "remarks": _said(row, "remarks"),
        "error": detail.err,
    }
    return {"id": name} | {field: readable(value) for field, value in known.items() if value not in (None, "")}


def _mentions(detail: TaskDetail | None, tag: str) -> bool:
    return detail is not None and mentions(detail, tag)


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
