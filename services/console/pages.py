"""The pages: rendered here, kept up to date by htmx, which asks for a part again when an event says that it changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, TypeVar, get_args
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Depends, FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from markupsafe import Markup
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.exceptions import HTTPException

from metriq_gym.benchmarks import names, schema
from metriq_gym.errors import InvalidRequest, MetriqGymError, NotFound, Permanent, Problem, Transient
from metriq_gym.exporters.retry import retry_export
from metriq_gym.jobs import Job, JobState, Task, TaskState, comparison
from metriq_gym.jobs.rows import number_of, rows
from metriq_gym.jobs.series import comparable, series_of_each
from metriq_gym.jobs.tables import ENCODERS
from metriq_gym.messages import CompilationName, EstimateWanted, JobId, ScheduleAction, ScheduleName, SuiteRequested
from metriq_gym.operations.resolve import resolve
from metriq_gym.packing import unpack_counts
from metriq_gym.settings import PREFIX, Settings
from metriq_gym.store.catalogue import Filter
from metriq_gym.suite_parser import load_suite, shipped
from metriq_gym.terminal.report import number
from metriq_gym.wording import from_pydantic, shorten

from . import figures, formulas
from .access import COOKIE, SESSION_SECONDS, Role
from .catalogue import estimated
from .desk import Desk, desk
from .forms import config_of, fields_of
from .jobs import Resolution, cancel, circuits_of, decision_of, resume
from .parameters import Cursor, JobPath, Sort, SuitePath, decode_cursor, encode_cursor, filtered
from .problems import ProblemDocument, describe, document
from .rendering import render
from .schedules import standing
from .suites import request_suite

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
At = Annotated[Desk, Depends(desk)]
PAGE = 50
MOST_SELECTED = 500
MORE = ("suite", "tag", "least_score", "most_score", "since", "until")
"""Filters that a list shows once they are asked for."""
HELD = "held"
"""What a list calls the state of jobs that wait for an operator."""
_COUNT = re.compile(r"[0-9]{1,3}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
SUITES = 20
SUITE_JOBS = 200
"""Jobs of a suite that its page shows; the list of jobs has the others."""
MOST_DEVICES = 20
"""Devices that a trend is asked of by name."""
OFFERED = 60
"""The newest results of a benchmark among which those are looked for that a job may be compared with."""
TOLD, DRAWN = 200, 2000
"""Points of a trend that are in its table, and in its plot."""
COMPILATIONS: tuple[CompilationName, ...] = get_args(CompilationName)
M = TypeVar("M", bound=BaseModel)
_TITLES = {
    400: "That could not be read",
    403: "Not allowed",
    404: "Not found",
    409: "Not as it stands now",
    413: "Too much at once",
    422: "That is not right yet",
    500: "Something went wrong here",
    503: "Away for a moment",
}
_NAMED = {"job_id": "name of a job", "suite_id": "name of a suite"}
_NAMES = "names begin with a letter or a digit, and have at most 128 letters, digits, dots, colons, _ and -."
_STAGES = [JobState.DISPATCHING, JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED, JobState.EXPORTED]


class NeedsLogin(Exception):
    """Nobody knows who asks: the page to log in comes first."""


def visitor(least: Role) -> Any:
    """Return the dependency of a page that only some may see; it gives the role."""

    def check(request: Request, at: At) -> Role:
        role = at.access.role_of(request)
        if role is None:
            raise NeedsLogin
        if role < least:
            raise HTTPException(403, f"this takes the role {least.word}; yours is {role.word}")
        return role

    return Depends(check)


Viewer = Annotated[Role, visitor(Role.VIEWER)]
Submitter = Annotated[Role, visitor(Role.SUBMITTER)]
Operator = Annotated[Role, visitor(Role.OPERATOR)]


@router.get("/login")
async def login_page(request: Request, next: str = "/") -> Response:  # noqa: A002  (what the query calls it)
    """Ask for a token."""
    return render(request, "login.html", None, next=_local(next))


@router.post("/login")
async def login(
    request: Request,
    at: At,
    token: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Give a session for a token."""
    role = at.access.role_of_token(token.strip())
    if role is None:
        return render(request, "login.html", None, status=401, next=_local(next), wrong=True)
    answer = RedirectResponse(_local(next), 303)
    answer.set_cookie(
        COOKIE, at.access.session(role), SESSION_SECONDS, secure=True, httponly=True, samesite="strict", path="/"
    )
    return answer


@router.post("/logout")
async def logout() -> Response:
    """Forget the session."""
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return answer


@router.get("/")
async def overview(request: Request, role: Viewer) -> Response:
    """Show how the work stands: the page at once, and what it takes longer to count once that is there."""
    return render(request, "overview.html", role, full=False)


@router.get("/overview")
async def overview_part(request: Request, at: At, role: Viewer) -> Response:
    """Show the part of the overview that changes."""
    return render(request, "overview_live.html", role, full=True, **await at.overview.get())


@router.get("/jobs")
async def jobs_page(request: Request, at: At, role: Viewer, sort: Sort = "newest", after: Cursor = None) -> Response:
    """List jobs; the address is the view."""
    suites = await at.store.catalogue.suite_names()
    which = _filter_of(request, suites)
    note = _note(request.query_params)
    place = decode_cursor(after)
    is_part = request.headers.get("x-part") == "table"
    searching = which.text is not None and not is_part  # the page comes at once: a search takes longer than a list
    jobs = (
        []
        if searching
        else await at.store.catalogue.page(which, after=place, ascending=sort == "oldest", limit=PAGE + 1)
    )
    shown_jobs = jobs[:PAGE]
    context: dict[str, Any] = {
        "jobs": shown_jobs,
        "searching": searching,
        "address": f"/jobs?{_query(request)}",
        "first_page": f"/jobs?{_query(request, after=None)}" if after else None,
        "next_page": f"/jobs?{_query(request, after=encode_cursor(shown_jobs[-1]))}" if len(jobs) > PAGE else None,
    }
    if is_part:
        return render(request, "jobs_table.html", role, **context)
    return render(
        request,
        "jobs.html",
        role,
        **context,
        query=which,
        sort=sort,
        note=note,
        states=[*JobState, HELD],
        bounds={name: request.query_params.get(name, "")[:30] for name in ("least_score", "most_score")},
        days={name: request.query_params.get(name, "")[:10] for name in ("since", "until")},
        suites=suites,
        more_is_asked=any(request.query_params.get(name) for name in MORE) or sort != "newest",
        benchmarks=await at.store.catalogue.benchmark_names(),
        devices=await at.store.catalogue.device_names(),
    )


@router.post("/jobs/selected")
async def selected(request: Request, at: At, role: Submitter) -> Response:
    """Do the same with several jobs; those that are not in a state for it stay as they are."""
    form = await request.form(max_fields=MOST_SELECTED + 10)
    act, ids = str(form.get("act")), [str(each) for each in form.getlist("job")][:MOST_SELECTED]
    if act in ("upload", "delete") and role < Role.OPERATOR:
        raise HTTPException(403, f"this takes the role operator; yours is {role.word}")
    failed = 0
    for job_id in ids:
        try:
            await _act(at, act, job_id)
        except (MetriqGymError, HTTPException) as error:
            if isinstance(error, Transient):
                raise
            failed += 1
    back = request.headers.get("referer", "")
    query = back.partition("?")[2] if "/jobs?" in back else ""
    kept = [each for each in query.split("&") if each and not each.startswith(("done=", "not="))]
    return RedirectResponse(f"/jobs?{'&'.join([*kept, f'done={len(ids) - failed}', f'not={failed}'])}", 303)


@router.get("/jobs/{job_id}")
async def job_page(request: Request, at: At, role: Viewer, job_id: JobPath) -> Response:
    """Show a job, also one that no dispatcher has taken up yet."""
    about = await _about(request, at, job_id)
    return render(request, "job.html", role, job_id=job_id, **about, candidates=await _candidates(at, about["job"]))


@router.get("/jobs/{job_id}/live")
async def job_part(request: Request, at: At, role: Viewer, job_id: JobPath) -> Response:
    """Show the part of a job's page that changes; nothing while it is as it was seen, so that what is open stays so."""
    about = await _about(request, at, job_id)
    if request.query_params.get("seen") == about["version"]:
        return Response(status_code=204)
    return render(
        request, "job_live.html", role, job_id=job_id, **about, candidates=await _candidates(at, about["job"])
    )


@router.get("/jobs/{job_id}/counts.plot")
async def counts_plot(at: At, _: Viewer, job_id: JobPath) -> Response:
    """Return the histogram of the first circuit's counts."""
    tasks = [task for task in await at.store.catalogue.counts(job_id) if task.counts]
    return JSONResponse(figures.histogram(unpack_counts(tasks[0].counts)[0]) if tasks else {"data": [], "layout": {}})


@router.get("/jobs/{job_id}/plot.png")
async def own_plot(at: At, _: Viewer, job_id: JobPath) -> Response:
    """Return the plot that the command line makes of a job."""
    job = await at.store.jobs.get(job_id)
    tasks = await at.store.catalogue.counts(job_id)
    png = await at.pool.run_within(figures.SECONDS, figures.own_plot, job, tasks)
    return Response(png, media_type="image/png", headers={"Cache-Control": "private, max-age=60"})


@router.get("/jobs/{job_id}/circuit")
async def circuit_part(request: Request, at: At, role: Viewer, job_id: JobPath) -> Response:
    """Draw the job's first circuit."""
    try:
        found = await circuits_of(at, await at.store.jobs.get(job_id), 1)
    except InvalidRequest:
        raise
    except (NotFound, Permanent):  # it has not been taken up yet, or was rejected
        found = []
    return render(request, "circuit.html", role, circuit=found[0] if found else None)


@router.post("/jobs/{job_id}/{act}")
async def job_action(request: Request, at: At, role: Submitter, job_id: JobPath, act: str) -> Response:
    """Cancel, resume, upload, decide about or delete a job."""
    if act not in ("cancel", "resume", "upload", "resolve", "delete"):
        raise NotFound(f"nothing is called {act}")
    if act not in ("cancel", "resume") and role < Role.OPERATOR:
        raise HTTPException(403, f"this takes the role operator; yours is {role.word}")
    form = {key: str(value) for key, value in (await request.form()).items() if value}
    try:
        if act == "resolve":
            resolution = Resolution.model_validate(form)
            await resolve(at.store, at.bus, job_id, decision_of(resolution), resolution.task_id)
        elif act == "upload":
            await retry_export(at.store, at.bus, job_id, form.get("target", "github"))
        else:
            await _act(at, act, job_id)
    except (MetriqGymError, ValueError) as error:
        if isinstance(error, Transient):
            raise
        if act == "delete" and isinstance(error, NotFound) and await at.store.records.is_deleted(job_id):
            return RedirectResponse("/jobs", 303)  # the button was pressed twice, or the browser asked again
        problem = describe(error) if isinstance(error, MetriqGymError) else describe(Permanent("that is no decision"))
        about = await _about(request, at, job_id)
        said = {"problem": problem, "candidates": await _candidates(at, about["job"])}
        return render(request, "job.html", role, status=problem.status, job_id=job_id, **about | said)
    return RedirectResponse("/jobs" if act == "delete" else f"/jobs/{job_id}", 303)


@router.get("/compare")
async def compare(request: Request, at: At, role: Viewer, a: JobId, b: JobId) -> Response:
    """Show two jobs side by side, and their differences where their scores mean the same."""
    one, other = await at.store.jobs.get(a), await at.store.jobs.get(b)
    same = one.benchmark_name == other.benchmark_name
    found = (
        {each.metric: each for each in comparison.compare(one, other)} if same and one.result and other.result else {}
    )
    metrics = dict.fromkeys([*(one.result or {}), *(other.result or {})])
    values = [(name, *((job.result or {}).get(name) for job in (one, other))) for name in metrics]
    rows = [{"name": name, "a": number(first), "b": number(second)} for name, first, second in values]
    for row in rows:
        errors = found[row["name"]].in_errors if row["name"] in found else None
        row["sigma"] = "" if errors is None else f"{errors:+.1f} σ"
    return render(
        request,
        "compare.html",
        role,
        a=one,
        b=other,
        rows=rows,
        comparable=comparable([one, other]),
        differing=comparison.other_parameters(one, other) if same else {},
    )


@router.get("/submit")
async def submit_page(request: Request, at: At, role: Submitter) -> Response:
    """Show the form for a job: a benchmark's, or that of a job that is to run again."""
    query = request.query_params
    if again := query.get("from"):
        job = await at.store.jobs.get(again)
        where = f"{job.provider}/{job.target or job.device}"
        said = {name: ", ".join(value) if name == "tags" else str(value) for name, value in _said(job).items()}
        return await _form(request, at, role, job.config, where, form={"compilation": job.compilation} | said)
    name = query.get("benchmark", "WIT")
    return await _form(request, at, role, {"benchmark_name": name}, query.get("at", "local/aer_simulator"))


@router.post("/submit")
async def submit(request: Request, at: At, role: Submitter) -> Response:
    """Request the job that the form describes."""
    form = await _fields(request)
    config = config_of(schema(form.get("benchmark", "")), form)
    try:
        provider, device = _split(form)
        job_id = await at.client.dispatch(
            _valid(config),
            provider,
            device,
            job_id=form.get("job_id") or uuid4().hex,
            compilation=_compilation(form),
            **_saying(form),
        )
    except InvalidRequest as error:
        return await _form(request, at, role, config, form.get("at", ""), error, form)
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.post("/submit/estimate")
async def estimate_part(request: Request, at: At, role: Submitter) -> Response:
    """Show what the job that the form describes would ask of its device."""
    form = await _fields(request)
    try:
        config = config_of(schema(form.get("benchmark", "")), form)
        provider, device = _split(form)
        wanted = {"provider": provider, "device": device, "config": config, "predict": "predict" in form}
        answer = await estimated(at, _made(EstimateWanted, **wanted, compilation=_compilation(form)))
    except (MetriqGymError, HTTPException) as error:
        problem = describe(error)
        return render(request, "estimate.html", role, status=problem.status, problem=problem)
    return render(request, "estimate.html", role, answer=answer)


@router.get("/benchmarks/{name}")
async def benchmark_page(request: Request, role: Viewer, name: str) -> Response:
    """Say what a benchmark runs, and give the formula of its score."""
    return render(request, "benchmark.html", role, name=name, text=Markup(formulas.section(name)))  # noqa: S704  (ours)


@router.get("/suites")
async def suites_page(request: Request, at: At, role: Viewer) -> Response:
    """List runs of suites."""
    return await _suites(request, at, role)


@router.post("/suites")
async def run_suite(request: Request, at: At, role: Submitter) -> Response:
    """Request a shipped suite."""
    form = await _fields(request)
    try:
        name = form.get("suite", "")
        if name not in shipped():
            raise NotFound(f"no suite is called {name}")
        suite, _ = load_suite(name)
        provider, device = _split(form)
        wanted = _made(
            SuiteRequested,
            suite_id=uuid4().hex,
            provider=provider,
            device=device,
            suite=suite.model_dump(mode="json", exclude_none=True),
            components=[each.strip() for each in form.get("components", "").split(",") if each.strip()],
            all="all" in form,
        )
        accepted = await request_suite(wanted, Response(), at, role)
    except (InvalidRequest, NotFound) as error:
        return await _suites(request, at, role, describe(error), form)
    return RedirectResponse(f"/suites/{accepted.suite_id}", 303)


@router.get("/suites/{suite_id}")
async def suite_page(request: Request, at: At, role: Viewer, suite_id: SuitePath) -> Response:
    """Show a suite's jobs."""
    return render(request, "suite.html", role, suite_id=suite_id, **await _of_suite(at, suite_id))


@router.get("/suites/{suite_id}/live")
async def suite_part(request: Request, at: At, role: Viewer, suite_id: SuitePath) -> Response:
    """Show the part of a suite's page that changes."""
    return render(request, "suite_live.html", role, suite_id=suite_id, **await _of_suite(at, suite_id))


@router.get("/schedules")
async def schedules_page(request: Request, at: At, role: Viewer) -> Response:
    """List schedules."""
    done = {"pause": "Paused.", "resume": "Resumed.", "run": "Asked to run now.", "delete": "Deleted."}
    note = done.get(request.query_params.get("done", ""))
    rows = await standing(at)
    return render(request, "schedules.html", role, schedules=rows, note=note, request_id=uuid4().hex)


@router.post("/schedules")
async def schedule_action(
    at: At,
    role: Submitter,
    name: Annotated[ScheduleName, Form()],
    act: Annotated[ScheduleAction, Form()],
    asked: Annotated[JobId, Form()],
) -> Response:
    """Pause, resume, run or delete a schedule, once however often the button is pressed."""
    if act == "delete" and role < Role.OPERATOR:
        raise HTTPException(403, f"this takes the role operator; yours is {role.word}")
    await at.client.change_schedule(name, act, asked)
    return RedirectResponse(f"/schedules?done={act}", 303)


@router.get("/devices")
async def devices_page(request: Request, at: At, role: Viewer) -> Response:
    """Show devices, and the newest score of each benchmark on each."""
    devices = await at.store.devices.all()
    benchmarks = await at.store.catalogue.benchmark_names()
    triples = [(name, each.provider, each.device) for name in benchmarks for each in devices]
    newest = await at.store.catalogue.newest_scored(triples)
    changing = await asyncio.gather(*(at.store.devices.calibrations(each.provider, each.device) for each in devices))
    changed = {
        each.id
        for each, found in zip(devices, changing, strict=True)
        if figures.calibration(found)["data"] and not each.simulator
    }
    return render(
        request, "devices.html", role, devices=devices, benchmarks=benchmarks, newest=_Missing(newest), changed=changed
    )


@router.get("/devices/{provider}/{device}/calibration.plot")
async def calibration_plot(at: At, _: Viewer, provider: str, device: str) -> Response:
    """Return a device's calibrations over time."""
    return JSONResponse(figures.calibration(await at.store.devices.calibrations(provider, device)))


@router.get("/trends")
async def trends_page(request: Request, at: At, role: Viewer) -> Response:
    """Show a metric over time, of a benchmark or of all of a suite's."""
    found = await _trend(request, at, TOLD)
    seen = {each.id: each for each in await at.store.devices.all()}
    asked = {"benchmark": found.benchmark, "suite": found.suite, "metric": found.metric, "device": found.devices}
    return render(
        request,
        "trends.html",
        role,
        benchmarks=await at.store.catalogue.benchmark_names(),
        suites=await at.store.catalogue.suite_names(),
        devices=[f"{provider}/{name}" for provider, name in await at.store.catalogue.device_names()],
        trend=found,
        rows=[
            {"at": each.at, "series": each.series, "shown": number({"value": each.value, "uncertainty": each.error})}
            for each in found.points
        ],
        query=urlencode({key: value for key, value in asked.items() if value}, doseq=True),
        calibrated=[seen[each] for each in found.devices if each in seen and not seen[each].simulator],
    )


@router.get("/trends/data.plot")
async def trend_plot(request: Request, at: At, _: Viewer) -> Response:
    """Return a metric over time."""
    found = await _trend(request, at, DRAWN)
    return JSONResponse(figures.over_time(found.points, found.metric))


@router.get("/trends/data.csv")
async def trend_rows(request: Request, at: At, _: Viewer) -> Response:
    """Return the rows of what is drawn."""
    found = await _trend(request, at, DRAWN)

    async def jobs() -> AsyncIterator[Job]:
        for job in found.jobs:
            yield job

    headers = {"Content-Disposition": 'attachment; filename="trend.csv"'}
    encoded = ENCODERS["csv"](rows(jobs(), found.metric))
    return StreamingResponse(encoded, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/dead-letters")
async def dead_letters_page(request: Request, at: At, role: Operator, job: str = "") -> Response:
    """List messages that were given up."""
    letters = [each.shown() for each in await at.letters.list()]
    chosen = [each for each in letters if not job or each.job_id == job]
    note = {"replay": "Handed back to its service.", "drop": "Dropped."}.get(request.query_params.get("done", ""))
    return render(request, "dead_letters.html", role, letters=chosen, note=note)


@router.post("/dead-letters")
async def settle_letter(at: At, _: Operator, letter: Annotated[str, Form()], act: Annotated[str, Form()]) -> Response:
    """Replay or drop a letter."""
    if act not in ("replay", "drop"):
        raise NotFound(f"nothing is called {act}")
    await (at.letters.replay(letter) if act == "replay" else at.letters.drop(letter))
    return RedirectResponse(f"/dead-letters?done={act}", 303)


@router.get("/settings")
async def settings_page(request: Request, at: At, role: Viewer) -> Response:
    """Show the settings of this process, but for secrets."""
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(at.settings, name)
        masked = "••••••" if isinstance(value, SecretStr) else "" if value is None else value
        text = ", ".join(map(str, masked)) if isinstance(masked, tuple) else str(masked)
        rows.append({"name": f"{PREFIX}{name.upper()}", "value": text, "about": field.description})
    return render(request, "settings.html", role, settings=rows)


@router.get("/api/docs")
async def api_docs(request: Request, role: Viewer) -> Response:
    """Show the API, and try it: as the page's session, or with a token that is given there."""
    return render(request, "api_docs.html", role)


class _Missing(dict[tuple[str, str, str], Job]):
    """Gives None for what is not there, to a template."""

    def __missing__(self, _: tuple[str, str, str]) -> None:
        return None


def _local(address: str) -> str:
    """Return an address of this console's, the first page's unless it is one."""
    return address if address.startswith("/") and not address.startswith(("//", "/\\")) else "/"


def _filter_of(request: Request, suites: Sequence[str]) -> Filter:
    """Return what the query filters by; the form leaves empty what it does not. A suite has an id and a name."""
    asked = {key: value for key, value in request.query_params.items() if value}
    states = [each for each in request.query_params.getlist("state") if each]
    held = HELD in states or asked.get(HELD, "0") not in ("0", "false")
    if unknown := [each for each in states if each not in (*JobState, HELD)]:
        raise InvalidRequest([Problem("query.state", f"{shorten(each)!r} is no state of jobs") for each in unknown])
    provider, slash, device = asked.get("at", "").partition("/")
    return filtered(
        state=[JobState(each) for each in states if each != HELD],
        benchmark=asked.get("benchmark"),
        provider=provider if slash else asked.get("provider"),
        device=device if slash else asked.get("device"),
        suite=None if (suite := asked.get("suite")) in suites else suite,
        suite_name=suite if suite in suites else None,
        text=asked.get("text", "").replace("\0", "")[:200] or None,
        since=_time_of(asked, "since"),
        until=_time_of(asked, "until", timedelta(days=1)),
        held=held,
        tag=[each for each in request.query_params.getlist("tag") if each],
        least_score=_number_of(asked, "least_score"),
        most_score=_number_of(asked, "most_score"),
    )


def _number_of(asked: Mapping[str, str], name: str) -> float | None:
    """Return a number that the query names."""
    if (said := asked.get(name)) is None:
        return None
    with suppress(ValueError):
        if math.isfinite(number := float(said)):
            return number
    raise InvalidRequest([Problem(f"query.{name}", f"{shorten(said)!r} is no number")])


def _query(request: Request, **changed: str | None) -> str:
    """Return the query that a page was asked with, but for what is changed and what has just been done."""
    asked = [each for each in request.query_params.multi_items() if each[0] not in ("done", "not", *changed)]
    return urlencode([*asked, *((name, value) for name, value in changed.items() if value is not None)])


def _note(query: Mapping[str, str]) -> str:
    """Return what became of the jobs that were selected."""
    done, failed = (int(said) if _COUNT.fullmatch(said := query.get(name, "")) else None for name in ("done", "not"))
    if done is None or failed is None:
        return ""
    if not done + failed:
        return "No job was selected."
    return f"Done with {done}." + (f" Left as they are, since they are in no state for it: {failed}." if failed else "")


def _time_of(asked: Mapping[str, str], name: str, of_a_day: timedelta = timedelta()) -> datetime | None:
    """Return a time that the query names; `of_a_day` is what is added where it is a day alone."""
    if (said := asked.get(name)) is None:
        return None
    try:
        return datetime.fromisoformat(said) + (of_a_day if _DAY.fullmatch(said) else timedelta())
    except (ValueError, OverflowError):
        raise InvalidRequest([Problem(f"query.{name}", f"{shorten(said)!r} is no day, such as 2026-11-29")]) from None


async def _act(at: Desk, act: str, job_id: str) -> None:
    match act:
        case "cancel":
            await cancel(at, job_id)
        case "resume":
            await resume(at, job_id)
        case "again":
            job = await at.store.jobs.get(job_id)
            asked = {"compilation": job.compilation} | _said(job)
            await at.client.dispatch(job.config, job.provider, job.target or job.device, **asked)
        case "upload":
            await retry_export(at.store, at.bus, job_id, "github")
        case "delete":
            await at.store.records.delete(job_id)
        case _:
            raise NotFound(f"nothing is called {act}")


async def _about(request: Request, at: Desk, job_id: str) -> dict[str, Any]:
    """Return what a job's page shows."""
    try:
        job = await at.store.jobs.get(job_id)
    except NotFound:
        if await at.store.records.is_deleted(job_id):
            raise
        return {"job": None, "version": "none"}
    tasks = await at.store.catalogue.outline(job_id)
    gates = (sum(job.input_two_qubit_gate_counts), sum(job.transpiled_two_qubit_gate_counts), sum(job.runs))
    return {
        "job": job,
        "version": _version(job, tasks),
        "tasks": tasks,
        "queued": {task.id: seconds for task in tasks if (seconds := _queue_seconds(job, task)) is not None},
        "done": sum(task.state is TaskState.COMPLETED for task in tasks),
        "timeline": _timeline(job),
        "explained": job.benchmark_name in formulas.known(),
        "has_counts": any(task.state is TaskState.COMPLETED for task in tasks),
        "gates": gates if job.runs else None,
        "commands": _commands(request, job),
        "has_record": job.has_ended and job.state is not JobState.REJECTED and not job.dry,
    }


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The newest jobs that another may be compared with."""

    here: list[Job]
    """Of the same series."""
    elsewhere: list[Job]
    """The same on other devices."""


async def _candidates(at: Desk, job: Job | None) -> _Candidates:
    found = _Candidates([], [])
    if job is None or not job.result:
        return found
    which = Filter(benchmark=job.benchmark_name)
    newest = [each async for each in at.store.catalogue.scored(which, ascending=False, limit=OFFERED)]
    own, *others = series_of_each([job, *newest])
    for each, series in zip(newest, others, strict=True):
        if each.id != job.id and series.parameters == own.parameters:
            (found.here if series == own else found.elsewhere).append(each)
    return found


def _version(job: Job, tasks: Sequence[Task]) -> str:
    """Return what is another once anything of a job has changed."""
    said = "".join(each.model_dump_json(exclude={"data", "runs", "circuits", "counts"}) for each in (job, *tasks))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _queue_seconds(job: Job, task: Task) -> float | None:
    """Return how long a task with counts waited at its provider, for its turn and until it was asked about."""
    dispatched = next((each.at for each in job.history if each.state is JobState.DISPATCHED), None)
    sent = task.intended_at or dispatched  # what runs here is not sent
    if sent is None or task.ended_at is None:
        return None
    return max(0.0, (task.ended_at - sent).total_seconds() - (task.execution_seconds or 0))


def _timeline(job: Job) -> list[dict[str, Any]]:
    entered = {each.state: each.at for each in reversed(job.history)}
    path = [*_STAGES] if job.state in _STAGES else [*(each for each in _STAGES if each in entered), job.state]
    found: list[dict[str, Any]] = []
    for position, state in enumerate(path):
        at = entered.get(state)
        following = next((entered[each] for each in path[position + 1 :] if each in entered), None)
        seconds = (following - at).total_seconds() if at and following else None
        is_now = state is job.state and not job.has_ended
        bad = state in (JobState.FAILED, JobState.REJECTED, JobState.CANCELLED)
        css = "now" if is_now else "end-bad" if bad else "past" if at else ""
        found.append({"name": str(state), "at": at, "seconds": seconds, "css": css})
    return found


def _said(job: Job) -> dict[str, Any]:
    """Return what a job's request said of it, beside what is run where and how it is compiled."""
    said = {"prior": job.prior, "remarks": job.remarks, "group": job.group, "tags": job.tags}
    return {name: value for name, value in said.items() if value}


def _commands(request: Request, job: Job) -> dict[str, str]:
    device = job.target or job.device
    said = ({} if job.compilation == "default" else {"compilation": job.compilation}) | _said(job)
    text = json.dumps({"provider": job.provider, "device": device, "config": job.config} | said)
    tags = [("tag", each) for each in said.pop("tags", ())]
    option = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in [*said.items(), *tags])
    url = f"{request.url.scheme}://{request.headers.get('host', '')}/api/v1/jobs"
    return {
        "cli": f"mgym job dispatch config.json -p {shlex.quote(job.provider)} -d {shlex.quote(device)}{option}",
        "http": f"curl -X POST {url} -H 'Content-Type: application/json' -d {shlex.quote(text)}",
        "amqp": f"rabbitmqadmin publish exchange=metriq.events routing_key=job.requested payload={shlex.quote(text)}",
    }


async def _fields(request: Request) -> dict[str, str]:
    form = await request.form(max_files=0)
    return {key: str(value) for key, value in form.items() if value}


def _compilation(form: Mapping[str, str]) -> CompilationName | None:
    """Return how the form says that circuits are compiled; None where the dispatcher's setting decides."""
    if (said := form.get("compilation")) is None:
        return None
    known = next((each for each in COMPILATIONS if each == said), None)
    if known is None:
        raise InvalidRequest([Problem("$.compilation", f"is none of {', '.join(COMPILATIONS)}")])
    return known


def _saying(form: Mapping[str, str]) -> dict[str, Any]:
    """Return what the form says beside what is run where, as a request has it; raises `InvalidRequest`."""
    tags = [each.strip() for each in form.get("tags", "").split(",") if each.strip()]
    said: dict[str, Any] = {"remarks": form.get("remarks"), "group": form.get("group"), "tags": tags}
    if prior := form.get("prior", "").strip():
        if not (prior.isascii() and prior.isdigit() and len(prior) < 4):
            raise InvalidRequest([Problem("$.prior", "is no whole number from 1 to 10")])
        said["prior"] = int(prior)
    return said


def _made(model: type[M], **fields: Any) -> M:
    """Return a model of what a form says; raises `InvalidRequest`."""
    try:
        return model(**fields)
    except ValidationError as error:
        raise InvalidRequest(from_pydantic(error)) from None


def _split(form: Mapping[str, str]) -> tuple[str, str]:
    provider, slash, device = form.get("at", "").strip().partition("/")
    if not (provider and slash and device):
        raise InvalidRequest([Problem("$.device", "must be provider/device, such as local/aer_simulator")])
    return provider, device


def _valid(config: dict[str, Any]) -> dict[str, Any]:
    from metriq_gym.schema_validator import validate

    validate(config, "$.config")
    return config


async def _form(
    request: Request,
    at: Desk,
    role: Role,
    config: Mapping[str, Any],
    where: str,
    error: InvalidRequest | None = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    found = schema(str(config.get("benchmark_name", "")))
    fields = fields_of(found, config)
    mistakes: dict[str, list[str]] = {}
    for each in error.problems if error else ():
        path = next((f"$.config.{field.name}" for field in fields if _is_in(each.path, field.name)), each.path)
        path = "$.tags" if path.startswith("$.tags[") else path
        mistakes.setdefault(path, []).append(each.message)
    own = ("device", "provider", "job_id", "remarks", "group", "tags", "prior")
    placed = {*(f"$.{name}" for name in own), *(f"$.config.{field.name}" for field in fields)}
    elsewhere = [each for each in error.problems if not _placed(each.path, placed)] if error else []
    problem = describe(InvalidRequest(elsewhere)) if elsewhere else None
    given = form or {}
    return render(
        request,
        "submit.html",
        role,
        status=422 if error else 200,
        benchmarks=names(),
        benchmark=config["benchmark_name"],
        schema=found,
        fields=fields,
        devices=await at.store.devices.all(),
        at=where,
        mistakes=_Nothing(mistakes),
        problem=problem,
        given=given,
        more_is_said=any(given.get(name) for name in ("compilation", *own[2:])),
        compilations=COMPILATIONS,
    )


class _Nothing(dict[str, list[str]]):
    """Gives no mistakes for what has none, to a template."""

    def __missing__(self, _: str) -> list[str]:
        return []


def _is_in(path: str, name: str) -> bool:
    rest = path.removeprefix(f"$.config.{name}")
    return rest != path and (not rest or rest[0] in ".[")


def _placed(path: str, places: set[str]) -> bool:
    return any(path == place or path.startswith((f"{place}.", f"{place}[")) for place in places)


async def _suites(
    request: Request,
    at: Desk,
    role: Role,
    problem: ProblemDocument | None = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    ids = await at.store.catalogue.suite_ids(limit=SUITES)
    given = form or {}
    return render(
        request,
        "suites.html",
        role,
        status=problem.status if problem else 200,
        runs=await at.store.catalogue.suite_runs(ids),
        shipped=shipped(),
        devices=await at.store.devices.all(),
        problem=problem,
        suite=given.get("suite", ""),
        at=given.get("at", "local/aer_simulator"),
        components=given.get("components", ""),
    )


async def _of_suite(at: Desk, suite_id: str) -> dict[str, Any]:
    runs = await at.store.catalogue.suite_runs([suite_id])
    jobs = await at.store.catalogue.page(Filter(suite=suite_id), ascending=True, limit=SUITE_JOBS)
    if not runs or not jobs:
        return {"jobs": []}
    return {"jobs": sorted(jobs, key=lambda job: job.id), "progress": runs[0].progress}


@dataclass(frozen=True, slots=True)
class _Trend:
    """What is drawn over time."""

    benchmark: str
    """Empty when it is a suite's scores."""
    suite: str
    devices: list[str]
    """Provider and device of each that is asked for; all of them when it is none."""
    metrics: list[str]
    """Those that there are."""
    metric: str
    """The one that is asked for."""
    jobs: list[Job]
    points: list[figures.Point]


async def _trend(request: Request, at: Desk, limit: int) -> _Trend:
    asked = request.query_params
    suite = asked.get("suite", "")
    benchmarks = [] if suite else await at.store.catalogue.benchmark_names()
    benchmark = "" if suite else asked.get("benchmark") or (benchmarks[0] if benchmarks else "")
    devices = list(dict.fromkeys(each for each in asked.getlist("device") if each))[:MOST_DEVICES]
    jobs = await _newest_scored(at, benchmark, suite, devices, limit)
    metrics = list(
        dict.fromkeys(key for job in jobs[-50:] for key, value in (job.result or {}).items() if number_of(value))
    )
    metric = asked.get("metric") or ""
    if metric not in metrics:
        metric = "score" if "score" in metrics else metrics[0] if metrics else ""
    return _Trend(benchmark, suite, devices, metrics, metric, jobs, figures.points(jobs, metric))


async def _newest_scored(at: Desk, benchmark: str, suite: str, devices: Sequence[str], limit: int) -> list[Job]:
    """Return the newest jobs with a result, the oldest of them first; of the given devices, or of all."""

    async def of(device: str) -> list[Job]:
        provider, _, name = device.partition("/")
        which = Filter(
            benchmark=benchmark or None, suite_name=suite or None, provider=provider or None, device=name or None
        )
        return [job async for job in at.store.catalogue.scored(which, ascending=False, limit=limit)]

    found = await asyncio.gather(*map(of, devices or [""]))
    return sorted((job for jobs in found for job in jobs), key=lambda job: (job.created_at, job.id))[-limit:]


def install(app: FastAPI) -> None:
    """Lead those whom nobody knows to the page to log in."""

    async def to_login(request: Request, _: Exception) -> Response:
        if request.headers.get("hx-request"):
            return Response(status_code=204, headers={"HX-Redirect": "/login"})
        address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?{urlencode({'next': address})}" if request.method == "GET" else "/login", 303)

    app.add_exception_handler(NeedsLogin, to_login)


def error_page(request: Request, error: Exception) -> Response:
    """Return the page that says what went wrong, and where to go on."""
    problem, sought = describe(error), None
    if isinstance(error, RequestValidationError) and all(each["loc"][0] == "path" for each in error.errors()):
        name = error.errors()[0]["loc"][1]
        sought = str(request.path_params.get(name, ""))
        problem = document(404, f"{shorten(sought)!r} is no {_NAMED.get(str(name), 'name')}: {_NAMES}")
    elif problem.status == HTTPStatus.NOT_FOUND and problem.detail == HTTPStatus.NOT_FOUND.phrase:
        problem = document(404, f"This console has no page {shorten(request.url.path)!r}.")
    elif problem.status == HTTPStatus.NOT_FOUND:
        sought = str(request.path_params.get("job_id", ""))
    title = _TITLES.get(problem.status, problem.title)
    role = desk(request).access.role_of(request)
    return render(request, "error.html", role, status=problem.status, problem=problem, title=title, sought=sought)
