"""``mgym dead …``: messages that were given up, which an operator looks at, hands back to their service, or drops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.rabbitmq.dead_letters import MOST, LockedLetter, locked_letters
from metriq_gym.cli import opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.options import AsJson, Yes
from metriq_gym.cli.output import confirm, console, emit, say, tell
from metriq_gym.client.lookup import only
from metriq_gym.client.session import quiet
from metriq_gym.settings import Settings
from metriq_gym.terminal import report
from metriq_gym.wording import printable

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Letters' ids, or the beginnings of them.", show_default=False),
]


OfJob = Annotated[
    str | None, typer.Option("--job", metavar="JOB", help="Only about this job; its id may be shortened.")
]


Because = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Only if the reason has this in it.")]


OfService = Annotated[str | None, typer.Option("--service", metavar="NAME", help="Only what this service gave up.")]


All = Annotated[bool, typer.Option("--all", help="All there are.")]


def list_(job: OfJob = None, reason: Because = None, service: OfService = None, json: AsJson = False) -> None:
    """List dead letters, the oldest first."""

    async def look() -> list[DeadLetter]:
        async with _held() as held:
            return [each.letter for each in held if _fits(each.letter, job, reason, service)]

    letters = opening.run(look())
    if json:
        emit([_facts(each) for each in letters])
    elif letters:
        columns = ("letter", "service", "message", "deliveries", "given up", "reason")
        report.show_table(console(), columns, map(_row, letters))
    else:
        tell("no dead letters")


def show(ids: Ids = None, json: AsJson = False) -> None:
    """Print letters with their traceback and body."""

    async def look() -> list[DeadLetter]:
        async with _held() as held:
            return [each.letter for each in _chosen(held, _named(ids))]

    letters = opening.run(look())
    if json:
        emit([each.shown().model_dump(mode="json") for each in letters])
        return
    for letter in letters:
        facts = [(name, value) for name, value in _facts(letter).items() if value is not None]
        report.show_table(console(), ("letter", letter.id), facts)
        for text in (letter.traceback, letter.shown().body):
            if text:
                console().print(f"\n{printable(text)}", markup=False, highlight=False, soft_wrap=True)


def replay(
    ids: Ids = None,
    job: OfJob = None,
    reason: Because = None,
    service: OfService = None,
    everything: All = False,
    yes: Yes = False,
) -> None:
    """Hand letters back to the service that gave them up.

    Handlers find work that is done, so once too often does no harm.
    """
    _check(ids, job, reason, service, everything)

    async def work() -> int:
        async with _held() as held:
            chosen = _chosen(held, ids) if ids else _matching(held, job, reason, service)
            if not ids:
                _confirm("replay", chosen, yes)
            await _forgive({each.letter.job_id for each in chosen if each.letter.job_id is not None})
            for each in chosen:
                await each.replay()
                say(f"{each.letter.id} is in {each.letter.queue} again")
            return len(chosen)

    if not opening.run(work()):
        say("no dead letters")


def drop(
    ids: Ids = None,
    job: OfJob = None,
    reason: Because = None,
    service: OfService = None,
    everything: All = False,
    yes: Yes = False,
) -> None:
    """Delete letters for good.

    A job that one was about stays as it is: held, until `mgym job resolve JOB --fail` or its deadline ends it.
    """
    _check(ids, job, reason, service, everything)

    async def work() -> int:
        async with _held() as held:
            chosen = _chosen(held, ids) if ids else _matching(held, job, reason, service)
            _confirm("delete", chosen, yes)
            for each in chosen:
                await each.drop()
                say(f"dropped {each.letter.id}")
            return len(chosen)

    if not opening.run(work()):
        say("no dead letters")


@asynccontextmanager
async def _held() -> AsyncIterator[Sequence[LockedLetter]]:
    """Take hold of the dead letters."""
    quiet()
    settings = Settings()
    if settings.amqp_url is None:
        raise Usage(
            "no dead letters are kept without METRIQ_AMQP_URL: the embedded runtime's messages end with its process, "
            "and the next one takes up every unfinished job again (`mgym status` counts them)"
        )
    async with locked_letters(settings.amqp_url.get_secret_value()) as held:
        if len(held) == MOST:
            say(f"these are the first {MOST:,}; there may be more behind them")
        yield held


async def _forgive(job_ids: Collection[str]) -> None:
    """Let go of jobs that are held for their letters: else their service would leave them alone."""
    if job_ids:
        async with opening.store() as store:
            for job_id in job_ids:
                await store.troubles.forgive(job_id)


def _named(ids: list[str] | None) -> list[str]:

    if not ids:
        raise Usage("say which letters: their ids, or the beginnings of them (`mgym dead list` shows them)")
    return ids


def _check(ids: list[str] | None, job: str | None, reason: str | None, service: str | None, everything: bool) -> None:

    filtered = any(each is not None for each in (job, reason, service))
    if not ids and not filtered and not everything:
        raise Usage("say which letters: ids, --job, --reason, --service, or --all (`mgym dead list` shows them)")
    if (ids and (filtered or everything)) or (filtered and everything):
        raise Usage("choose letters by their ids, or by --job, --reason and --service, or take --all")


def _fits(letter: DeadLetter, job: str | None, reason: str | None, service: str | None) -> bool:
    return (
        (job is None or (letter.job_id or "").startswith(job))
        and (reason is None or reason.casefold() in letter.reason.casefold())
        and (service is None or letter.service == service)
    )


def _matching(
    held: Sequence[LockedLetter], job: str | None, reason: str | None, service: str | None
) -> list[LockedLetter]:
    return [each for each in held if _fits(each.letter, job, reason, service)]


def _chosen(held: Sequence[LockedLetter], names: Sequence[str]) -> list[LockedLetter]:
    """Return the letters of these ids, all copies of each; raises `NotFound` and `AmbiguousName`."""
    ids = [each.letter.id for each in held]
    wanted = {only("letter", name, sorted({each for each in ids if each.startswith(name)}), "dead") for name in names}
    return [each for each in held if each.letter.id in wanted]


def _confirm(what: str, chosen: Sequence[LockedLetter], yes: bool) -> None:
    if chosen and not yes:
        letters = chosen[0].letter.id if len(chosen) == 1 else f"{len(chosen)} letters"
        confirm(f"{what} {letters}?")


def _row(letter: DeadLetter) -> list[object]:

    given_up = "" if letter.last is None else f"{report.age(letter.last)} ago"
    return [letter.id, letter.service, letter.routing_key, letter.deliveries, given_up, letter.reason]


def _facts(letter: DeadLetter) -> dict[str, Any]:
    return letter.shown().model_dump(mode="json", exclude={"traceback", "body"})
