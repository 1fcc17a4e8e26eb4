"""The ticks of schedules: when they come, and what becomes of each. Pure: no store, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.jobs.schedules import Schedule, Spent, Tick, TickState
from metriq_gym.messages import JobRequested, ScheduleRequested, SuiteRequested
from metriq_gym.schema_validator import validate
from metriq_gym.suite_parser import parse_suite, select
from metriq_gym.wording import first, shorten

GRACE = timedelta(minutes=15)
"""A tick that is noted later than this after its time is one that was missed."""
MOST_OPEN = 10
"""Ticks of a schedule that wait at once; one more is skipped."""
KEPT_TICKS = 100
"""Ticks that a schedule remembers."""
KEPT_CHANGES = 20
_SPACE = UUID("6f0c1d0e-6a55-5d0c-9b1f-3a8e2a5c7b11")
_LOOKBACKS = [timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366), timedelta(days=1830)]


def new(asked: ScheduleRequested, now: datetime) -> Schedule:
    """Return the schedule that a request asks for, whose first tick is the first after now."""
    changes = [asked.request_id] if asked.request_id else []
    return Schedule(name=asked.name, asked=asked, created_at=now, next_at=next_tick(asked, now), changes=changes)


def replaced(schedule: Schedule, asked: ScheduleRequested, now: datetime) -> Schedule:
    """Return a schedule as another request has it. What it has spent and what is open stay."""
    changes = [*schedule.changes, *([asked.request_id] if asked.request_id else [])][-KEPT_CHANGES:]
    return schedule.with_(asked=asked, next_at=next_tick(asked, now), changes=changes)


def check(asked: ScheduleRequested) -> None:
    """Raise `InvalidRequest` with everything that is wrong with a schedule, by its path."""
    problems: list[Problem] = []
    if (asked.config is None) == (asked.suite is None):
        problems.append(Problem("$", "must have one of config and suite"))
    try:
        if asked.config is not None:
            validate(asked.config, "$.config")
        elif asked.suite is not None:
            suite, _ = parse_suite(asked.suite, "$.suite")
            select(suite, asked.components, asked.all)
    except InvalidRequest as error:
        problems += error.problems
    zone = None
    try:
        zone = _zone(asked.timezone)
    except (ValueError, OSError, LookupError):
        name = shorten(asked.timezone)
        problems.append(Problem("$.timezone", f"{name!r} is no time zone of the IANA database, as Europe/Berlin is"))
    try:
        next(ticks(asked.cron, zone or ZoneInfo("UTC"), datetime(2026, 1, 1, tzinfo=UTC)))
    except StopIteration:
        problems.append(Problem("$.cron", f"{asked.cron!r} never comes"))
    except CronSimError as error:
        what = str(error)[:1].lower() + str(error)[1:]
        problems.append(Problem("$.cron", f"{shorten(asked.cron)!r} is no time for cron: {what}"))
    if problems:
        raise InvalidRequest(first(problems))


def ticks(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Yield the times of a cron expression after a time, as Debian's cron has them.

    Those of an hour that the clocks leave out come right after it; those of an hour that they repeat come once, unless
    the expression says every hour. Raises `CronSimError`.
    """
    if len(cron.split()) != 5:
        raise CronSimError("it needs five fields: minute, hour, day of month, month, day of week")
    last = after
    for each in CronSim(cron, after.astimezone(zone)):
        if (at := each.astimezone(UTC)) > last:  # in the hours around a change of the clocks two may be one
            yield at
            last = at


def next_tick(asked: ScheduleRequested, after: datetime) -> datetime | None:
    """Return the first tick after a time; None if there is none in the next decades."""
    return next(upcoming(asked, after), None)


def upcoming(asked: ScheduleRequested, after: datetime) -> Iterator[datetime]:
    """Yield the ticks after a time."""
    return ticks(asked.cron, _zone(asked.timezone), after)


def id_of(name: str, at: datetime | str) -> str:
    """Return the id of what a tick requests: of the schedule's name and the tick's time, or of a request to run it."""
    key = at if isinstance(at, str) else at.astimezone(UTC).isoformat()
    return str(uuid5(_SPACE, f"{name}/{key}"))


def noted(schedule: Schedule, now: datetime) -> Schedule:
    """Return a schedule in which every tick up to now is noted."""
    if schedule.paused or schedule.next_at is None:
        return schedule
    asked, expected = schedule.asked, next_tick(schedule.asked, now)
    if schedule.next_at > now:
        # Later than the first after now: the store's clock has been set back. What ran then has its id, and runs once.
        return schedule if schedule.next_at == expected else schedule.with_(next_at=expected)
    found: list[Tick] = []
    first_at = schedule.next_at
    if first_at < now - GRACE and (last := _last_before(asked, first_at, now - GRACE)) is not None:
        once = asked.missed == "once"
        due = Tick(at=last, id=id_of(schedule.name, last))
        before = first_at if last > first_at or not once else None
        if before is not None:
            until = _last_before(asked, first_at, last) if once else last
            found.append(Tick(at=before, id=id_of(schedule.name, before), state=TickState.MISSED, until=until))
        found += [due] if once else []
        after = last
    else:
        found.append(Tick(at=first_at, id=id_of(schedule.name, first_at)))
        after = first_at
    for at in upcoming(asked, after):
        if at > now:
            break
        found.append(Tick(at=at, id=id_of(schedule.name, at)))
    noted_ = schedule.with_(next_at=expected)
    known = {each.id for each in (*schedule.open, *schedule.ticks)}
    for tick in found:
        if tick.id in known:
            continue  # it came before the store's clock was set back
        full = tick.state is TickState.DUE and len(noted_.open) >= MOST_OPEN
        noted_ = with_tick(noted_, skipped(tick, "too many ticks wait") if full else tick)
    return noted_


def with_tick(schedule: Schedule, tick: Tick) -> Schedule:
    """Return a schedule with a tick as it is now, which is open while something is left to do about it."""
    others = [each for each in schedule.open if each.id != tick.id]
    if tick.state in (TickState.SKIPPED, TickState.MISSED):
        return schedule.with_(open=others, ticks=_kept(schedule, tick))
    return schedule.with_(open=sorted([*others, tick], key=lambda each: each.at))


def seen(schedule: Schedule, tick: Tick) -> Schedule:
    """Return a schedule with which all is done about a tick, whose job or suite is there."""
    others = [each for each in schedule.open if each.id != tick.id]
    done = tick.model_copy(update={"again_at": None})
    return schedule.with_(open=others, ticks=_kept(schedule, done))


def within_budget(schedule: Schedule, tick: Tick, now: datetime) -> tuple[Schedule, Tick]:
    """Return a schedule that has spent what a tick costs, and the tick, requested; or both as they were, it held."""
    asked = schedule.asked
    spent = schedule.spent_on(now.astimezone(_zone(asked.timezone)).date().isoformat())
    shots, circuits = tick.shots or 0, tick.circuits or 0
    after = Spent(day=spent.day, shots=spent.shots + shots, circuits=spent.circuits + circuits)
    for what, needs, used, bound in (
        ("shots", shots, spent.shots, asked.daily_shots),
        ("circuits", circuits, spent.circuits, asked.daily_circuits),
    ):
        if bound is not None and needs > bound - used:
            reason = f"needs {needs:,} {what}; {max(0, bound - used):,} of {bound:,} are left on {spent.day}"
            held = {"state": TickState.HELD, "reason": reason, "again_at": now + timedelta(minutes=1)}
            return schedule, tick.model_copy(update=held)
    requested = tick.model_copy(update={"state": TickState.REQUESTED, "reason": None, "again_at": now})
    return schedule.with_(spent=after, last_id=tick.id), requested


def request_of(schedule: Schedule, tick: Tick) -> JobRequested | SuiteRequested:
    """Return what a tick requests."""
    asked = schedule.asked
    common = asked.model_dump(include=set(JobRequested.model_fields) & set(SuiteRequested.model_fields))
    common["tags"] = list(dict.fromkeys([*asked.tags, tag(schedule.name)]))
    if asked.suite is None:
        return JobRequested.model_validate({**common, "job_id": tick.id, "config": asked.config})
    wanted = {"suite": asked.suite, "components": asked.components, "all": asked.all}
    return SuiteRequested.model_validate({**common, **wanted, "suite_id": tick.id})


def tag(name: str) -> str:
    """Return the tag that the jobs of a schedule have."""
    return f"schedule:{name}"


def _kept(schedule: Schedule, tick: Tick) -> list[Tick]:
    return sorted([*schedule.ticks, tick], key=lambda each: each.at)[-KEPT_TICKS:]


def skipped(tick: Tick, reason: str) -> Tick:
    """Return a tick that does not run."""
    return tick.model_copy(update={"state": TickState.SKIPPED, "reason": reason, "again_at": None})


def _last_before(asked: ScheduleRequested, first_at: datetime, end: datetime) -> datetime | None:
    """Return the last tick before a time, of those from `first_at` on.

    It is looked for near the end first: between could lie years of minutes.
    """
    for lookback in _LOOKBACKS:
        start = end - lookback
        if start <= first_at:
            break
        last = None
        for at in upcoming(asked, start):
            if at >= end:
                break
            last = at
        if last is not None:
            return last
    last = first_at if first_at < end else None
    for at in upcoming(asked, first_at):
        if at >= end:
            break
        last = at
    return last


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
