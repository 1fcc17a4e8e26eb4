"""``mgym schedule``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer

from metriq_gym.cli import opening, options
from metriq_gym.cli.options import (
    AsJson,
    Compilation,
    Components,
    Device,
    Everything,
    Force,
    Group,
    Prior,
    Provider,
    Remarks,
    Tags,
    Yes,
)
from metriq_gym.cli.output import confirm, console, emit, say
from metriq_gym.client.client import embedded
from metriq_gym.client.configurations import read_configuration
from metriq_gym.errors import InvalidRequest, NotFound
from metriq_gym.jobs.schedules import Schedule, Tick, newest, shown
from metriq_gym.jobs.ticks import check, upcoming
from metriq_gym.messages import ScheduleAction, ScheduleRequested
from metriq_gym.schema_validator import NAME_KEY
from metriq_gym.settings import Settings
from metriq_gym.suite_parser import load_suite, shipped
from metriq_gym.terminal.tables import show_table
from metriq_gym.wording import from_pydantic

Named = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)]
_MOST_NEXT = 1000


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Names the schedule.", show_default=False)],
    what: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG|SUITE", help="A configuration's or a suite's file, or a shipped one.", show_default=False
        ),
    ],
    cron: Annotated[
        str,
        typer.Option(
            "--cron", metavar="CRON", help='When, e.g. "0 3 * * *": every night at three.', show_default=False
        ),
    ],
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    timezone: Annotated[str, typer.Option("--tz", metavar="ZONE", help="Whose clock, e.g. Europe/Berlin.")] = "UTC",
    missed: Annotated[
        Literal["once", "skip"], typer.Option("--missed", help="Run missed ticks once, or not at all.")
    ] = "once",
    overlap: Annotated[
        Literal["skip", "run"], typer.Option("--overlap", help="What to do while the job before still runs.")
    ] = "skip",
    shots: Annotated[
        int | None, typer.Option("--daily-shots", metavar="N", help="At most so many a day.", show_default=False)
    ] = None,
    circuits: Annotated[
        int | None, typer.Option("--daily-circuits", metavar="N", help="At most so many a day.", show_default=False)
    ] = None,
    component: Components = None,
    everything: Everything = False,
    replace: Annotated[bool, typer.Option("--replace", help="Change the schedule of that name.")] = False,
    prior: Prior = None,
    remarks: Remarks = None,
    group: Group = None,
    force: Force = False,
    compilation: Compilation = None,
    tag: Tags = None,
    json: AsJson = False,
) -> None:
    """Run a benchmark or a suite whenever its time comes.

    Services do it; without servers, `mgym service run all` does while it runs.
    """
    asked: dict[str, Any] = {
        **_wanted(what),
        "provider": provider,
        "device": device,
        "cron": cron,
        "timezone": timezone,
        "missed": missed,
        "overlap": overlap,
        "daily_shots": shots,
        "daily_circuits": circuits,
        "components": component or [],
        "all": everything,
        "replace": replace,
        "prior": prior,
        "remarks": remarks,
        "group": group,
        "force": force,
        "compilation": compilation,
        "tags": list(dict.fromkeys(tag or [])),
    }
    try:
        check(ScheduleRequested.model_validate({"name": name, **asked}))  # before anything is started for it
    except ValueError as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(from_pydantic(error)) from None  # type: ignore[arg-type]

    async def request() -> Schedule:
        async with opening.client() as client:
            return await client.add_schedule(name, **asked)

    schedule = opening.run(request())
    if json:
        emit(shown(schedule).model_dump(mode="json"))
        return
    coming = ", ".join(_at(schedule, each) for each in _next(schedule, 2, datetime.now(UTC)))
    say(f"{name} runs next: {coming}")
    if embedded(Settings()):
        say("no servers are set: it runs while `mgym service run all` does")


def list_(json: AsJson = False) -> None:
    """List schedules."""

    async def look() -> list[Schedule]:
        async with opening.store() as store:
            return await store.schedules.all()

    found = opening.run(look())
    if json:
        emit([shown(each).model_dump(mode="json") for each in found])
        return
    rows = [
        [
            each.name,
            _what(each),
            f"{each.asked.provider}/{each.asked.device}",
            each.asked.cron,
            each.asked.timezone,
            _standing(each),
        ]
        for each in found
    ]
    if rows:
        show_table(console(), ("schedule", "runs", "device", "cron", "zone", "next"), rows)
    else:
        say("there is no schedule; `mgym schedule add` makes one")


def show(name: Named, json: AsJson = False) -> None:
    """Print a schedule and what became of its last ticks."""
    schedule = opening.run(_found(name))
    if json:
        emit(shown(schedule).model_dump(mode="json"))
        return
    asked = schedule.asked
    facts: list[list[object]] = [
        ["runs", _what(schedule)],
        ["device", f"{asked.provider}/{asked.device}"],
        ["cron", f"{asked.cron} ({asked.timezone})"],
        ["next", _standing(schedule)],
        ["missed ticks", "run once" if asked.missed == "once" else "do not run"],
        ["while one runs", "the next is skipped" if asked.overlap == "skip" else "the next runs too"],
    ]
    spent = schedule.spent
    for unit, bound in (("shots", asked.daily_shots), ("circuits", asked.daily_circuits)):
        if bound is not None:
            used = f", {getattr(spent, unit):,} of them used on {spent.day}" if spent is not None else ""
            facts.append([f"{unit} a day", f"{bound:,}{used}"])
    show_table(console(), ("schedule", schedule.name), facts)
    if rows := [_row(schedule, each) for each in newest(schedule)]:
        show_table(console(), ("job or suite", "tick", "state", "reason"), rows)


def next_(
    name: Named,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=_MOST_NEXT, help="How many times.")] = 5,
    json: AsJson = False,
) -> None:
    """Print when a schedule runs next."""
    schedule = opening.run(_found(name))
    times = [] if schedule.paused else [_at(schedule, each) for each in _next(schedule, count, datetime.now(UTC))]
    if json:
        emit(times)
        return
    for each in times:
        typer.echo(each)
    if schedule.paused:
        say(f"{name} is paused; `mgym schedule resume {name}` lets it go on")


def pause(name: Named) -> None:
    """Let a schedule rest. What it has requested goes on."""
    opening.run(_changed(name, "pause"))
    say(f"{name} is paused")


def resume(name: Named) -> None:
    """Let a schedule that rests go on. What would have run meanwhile does not."""
    schedule = opening.run(_changed(name, "resume"))
    assert schedule is not None  # noqa: S101  (it is not deleted)
    say(f"{name} runs next: {_standing(schedule)}")


def run(name: Named) -> None:
    """Run a schedule's benchmark or suite now.

    Prints the id of the job or suite; a budget may hold it.
    """
    schedule = opening.run(_changed(name, "run"))
    assert schedule is not None  # noqa: S101  (it is not deleted)
    tick = next(each for each in newest(schedule) if each.manual)
    typer.echo(tick.id)
    if tick.reason:
        say(f"{tick.state}: {tick.reason}")


def delete(name: Named, yes: Yes = False) -> None:
    """Delete a schedule, and none of its jobs."""
    opening.run(_found(name))
    if not yes:
        confirm(f"delete schedule {name}?")
    opening.run(_changed(name, "delete"))
    say(f"deleted {name}")


async def _found(name: str) -> Schedule:
    async with opening.store() as store:
        if (found := await store.schedules.get(name)) is None:
            raise NotFound(f"there is no schedule {name!r}; `mgym schedule list` shows those there are")
        return found


async def _changed(name: str, action: ScheduleAction) -> Schedule | None:
    await _found(name)
    async with opening.client() as client:
        return await client.change_schedule(name, action)


def _wanted(what: str) -> dict[str, Any]:
    """Return the configuration or the suite that a name stands for."""
    if what.removesuffix(".json") not in shipped():
        found = read_configuration(what)
        if NAME_KEY in found or "benchmarks" not in found:
            return {"config": found}
    suite, warnings = load_suite(what)
    for each in warnings:
        say(f"warning: {each}")
    return {"suite": suite.model_dump(mode="json", exclude_none=True)}


def _what(schedule: Schedule) -> str:
    asked = schedule.asked
    return str((asked.config or {}).get(NAME_KEY) or f"suite {(asked.suite or {}).get('name')}")


def _standing(schedule: Schedule) -> str:
    if schedule.paused:
        return "paused"
    held = [each for each in schedule.open if each.reason]
    if held:
        return f"held: {held[0].reason}"
    return "never" if schedule.next_at is None else _at(schedule, schedule.next_at)


def _next(schedule: Schedule, count: int, after: datetime) -> Iterable[datetime]:
    return islice(upcoming(schedule.asked, after), count)


def _row(schedule: Schedule, tick: Tick) -> list[object]:
    until = f" to {_at(schedule, tick.until)}" if tick.until else ""
    ran = tick.state in ("requested", "due", "held")
    return [tick.id if ran else "", f"{_at(schedule, tick.at)}{until}", tick.state, tick.reason or ""]


def _at(schedule: Schedule, at: datetime) -> str:
    return at.astimezone(ZoneInfo(schedule.asked.timezone)).isoformat(sep=" ", timespec="minutes")
