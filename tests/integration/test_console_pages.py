"""The console's pages as HTML, without a browser: what is on them, and what a form does."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from metriq_gym import benchmarks
from metriq_gym.bus.port import QUEUES
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.documents import CheckedCircuit
from metriq_gym.messages import JobRequested
from metriq_gym.operations.suites import DROPPED
from services.console import pages
from services.console.figures import over_time, points
from tests.support.console import ServedConsole, served_console
from tests.support.jobs import AT, SCORE, ended_job, failed_job

FIELD = re.compile(r'<input id="[^"]*" name="([^"]*)"(?: list="devices")? value="([^"]*)"')
HALF = r'"\ud800"'
"""Half a character, as JSON writes it."""


@pytest.fixture
async def console(mongo_url: str, mongo_database: str, tmp_path: Path) -> AsyncIterator[ServedConsole]:
    """One without any other service."""
    async with served_console(mongo_url, mongo_database, tmp_path, services=False) as served:
        served.http.base_url = httpx.URL(served.url)
        yield served


async def add(console: ServedConsole, *jobs: Job) -> None:
    documents: list[dict[str, Any]] = [job.model_dump(by_alias=True, exclude_defaults=True) for job in jobs]
    await console.store.jobs._jobs.insert_many(documents)


async def text_of(console: ServedConsole, path: str) -> str:
    """What is to be read on a page."""
    answer = (await console.http.get(path)).raise_for_status()
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


async def test_the_overview_begins_with_what_needs_a_person(console: ServedConsole) -> None:
    failed = {"github": {"state": "failed", "error": "HTTP 500", "at": AT}}
    await add(
        console,
        ended_job("in-doubt", state=JobState.DISPATCHING, result=None, held="may have been accepted"),
        ended_job("unexported", exports=failed),
        ended_job("still", state=JobState.COMPLETED, result=None),
    )
    await console.store.parked.park("tyxonq", "HTTP 401", 60)
    await console.store.parked.keep_away("other", "HTTP 503: maintenance", 60)
    shown = await text_of(console, "/overview")
    needed, _, rest = shown.partition("Runs now")
    for each in (
        "in-doubt may have been accepted",
        "1 result could be exported nowhere",
        "tyxonq does not accept the credential",
        "other cannot be asked",
        "HTTP 503: maintenance",
        "stands still: still completed",
        *(f"no service takes messages from {queue.name}" for queue in QUEUES),
    ):
        assert each in needed
    assert "in-doubt" in rest


async def test_with_all_services_there_and_nothing_amiss_nothing_needs_a_person(
    mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    async with served_console(mongo_url, mongo_database, tmp_path) as console:
        console.http.base_url = httpx.URL(console.url)
        assert "Nothing needs a person." in await text_of(console, "/overview")


async def test_how_long_tasks_have_been_due_is_shown_by_provider(console: ServedConsole) -> None:
    late = datetime.now(UTC) - timedelta(minutes=3)
    await console.store.tasks._tasks.insert_one({"_id": "t", "provider": "tyxonq", "next_poll_at": late})
    assert "tyxonq 1 3 min" in await text_of(console, "/overview")


def test_only_scores_that_can_be_compared_are_joined_by_a_line() -> None:
    config = {"benchmark_name": "WIT", "num_qubits": 6, "shots": 100}
    jobs = [
        ended_job("a", config=config),
        ended_job("b", config=config | {"shots": 9000}),  # more certain, of the same
        ended_job("c", config=config | {"num_qubits": 7}),
        ended_job("d", config=config, compilation="best"),
        ended_job("e", config=config, device="other"),
    ]
    drawn = over_time(points(jobs, "score"), "score")
    assert {line["name"]: line["text"] for line in drawn["data"]} == {
        "tyxonq/homebrew_s2, num_qubits 6, compilation default": ["a", "b"],
        "tyxonq/homebrew_s2, num_qubits 7, compilation default": ["c"],
        "tyxonq/homebrew_s2, num_qubits 6, compilation best": ["d"],
        "tyxonq/other, num_qubits 6, compilation default": ["e"],
    }


async def test_jobs_whose_scores_mean_different_things_are_not_compared_without_saying_so(
    console: ServedConsole,
) -> None:
    config = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 8192}
    better = {"value": 0.99 + 0.0003, "uncertainty": 0.001}
    await add(
        console,
        ended_job("a"),
        ended_job("same", config=config | {"shots": 100}, result={"score": better}),
        ended_job("narrow", config=config | {"num_qubits": 6}),
        ended_job("foreign", benchmark_name="BSEQ", result={"score": SCORE}),
    )
    same = await text_of(console, "/compare?a=a&b=same")
    assert "+0.2 σ" in same
    assert "shots 8192 100" in same
    assert "different series" not in same
    assert "different series" in await text_of(console, "/compare?a=a&b=narrow")
    foreign = await text_of(console, "/compare?a=a&b=foreign")
    assert "different benchmarks" in foreign
    assert "σ" not in foreign.partition("0.990 ± 0.001")[2]


async def test_a_jobs_page_offers_the_jobs_that_it_can_be_compared_with(console: ServedConsole) -> None:
    config = {"benchmark_name": "WIT", "num_qubits": 7}
    await add(
        console,
        ended_job("a"),
        ended_job("repeated", config=config | {"shots": 100}),
        ended_job("elsewhere", device="other"),
        ended_job("narrow", config=config | {"num_qubits": 6}),
        ended_job("foreign", benchmark_name="BSEQ"),
        failed_job("failed"),
    )
    page = (await console.http.get("/jobs/a")).text
    assert re.findall(r'<optgroup label="([^"]*)"|<option value="([^"]+)"', page) == [
        ("same device and parameters", ""),
        ("", "repeated"),
        ("same parameters, other devices", ""),
        ("", "elsewhere"),
    ]
    for alone in ("narrow", "failed"):
        assert "<option" not in (await console.http.get(f"/jobs/{alone}")).text


async def test_a_job_that_runs_again_is_requested_as_before(
    console: ServedConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[JobRequested] = []

    async def publish(message: JobRequested) -> None:
        asked.append(message)

    monkeypatch.setattr(console.bus, "publish", publish)
    said = {"prior": 2, "remarks": "it's a note", "group": "us", "tags": ["tonight", "by hand"]}
    await add(console, ended_job("a", compilation="best", **said))
    answer = await console.http.post("/jobs/selected", data={"act": "again", "job": "a"})
    assert answer.headers["location"] == "/jobs?done=1&not=0"
    form = (await console.http.get("/submit?from=a")).text
    assert "<option selected>best</option>" in form
    filled = {name: unescape(value) for name, value in FIELD.findall(form)}
    filled |= {"benchmark": "WIT", "compilation": "best", "config.num_qubits": "7"}
    assert (await console.http.post("/submit", data=filled)).status_code == 303
    for each in asked:
        assert (each.provider, each.device, each.compilation) == ("tyxonq", "homebrew_s2", "best")
        assert each.config == {"benchmark_name": "WIT", "num_qubits": 7, "shots": 8192}
        assert each.model_dump(include=set(said)) == said
    assert len(asked) == 2
    page = await text_of(console, "/jobs/a")
    assert "-d homebrew_s2 --compilation best" in page
    assert page.count('"compilation": "best"') == page.count('"tags": ["tonight", "by hand"]') == 2
    assert "--group us --tag tonight --tag 'by hand'" in page


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/submit", {"at": "local/" + "x" * 400}),
        ("/submit", {"compilation": "worst"}),
        ("/submit", {"prior": "eleven"}),
        ("/submit", {"prior": "11"}),
        ("/submit", {"tags": "fine, " + "x" * 65}),
        ("/submit", {"group": "x" * 201}),
        ("/submit", {"remarks": "x" * 201}),
        ("/submit", {"config.shots": HALF}),
        ("/submit/estimate", {"config.shots": HALF}),
        ("/submit/estimate", {"at": "local/" + "x" * 400}),
        ("/submit/estimate", {"compilation": "worst"}),
        ("/suites", {"suite": "lr_qaoa", "at": "local/" + "x" * 400}),
    ],
)
async def test_what_no_request_can_say_is_wrong_in_a_form(
    console: ServedConsole, path: str, wrong: dict[str, str]
) -> None:
    form = {"benchmark": "WIT", "at": "local/aer_simulator"} | wrong
    answer = await console.http.post(path, data=form)
    assert (answer.status_code, "the request is wrong" in answer.text or "error" in answer.text) == (422, True)
    for name, value in wrong.items():
        if path == "/submit" and name not in ("at", "compilation"):
            field = name.removeprefix("config.")
            assert f'aria-describedby="h-{field} e-{field}" aria-invalid="true"' in answer.text
            assert value in unescape(answer.text)


async def test_the_page_of_a_large_suite_shows_some_of_its_jobs_and_where_all_are(
    console: ServedConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SUITE_JOBS", 2)
    suite = {"suite_id": "s", "suite_name": "Nightly", "suite_size": 4, "state": JobState.EXPORTED}
    names = [f"s.00{number}-wit" for number in range(3)]
    await add(
        console, *(ended_job(name, created_at=AT + timedelta(seconds=n), **suite) for n, name in enumerate(names))
    )
    page = (await console.http.get("/suites/s")).raise_for_status().text
    assert "3 of 4 have ended" in page
    assert [name in page for name in names] == [True, True, False]
    assert 'These are 2 of 3 jobs: <a href="/jobs?suite=s">all of them</a>' in page
    monkeypatch.setattr(pages, "SUITE_JOBS", 3)
    assert "These are" not in await text_of(console, "/suites/s")


async def test_a_suites_scores_are_drawn_over_time_a_line_for_each_of_its_benchmarks(console: ServedConsole) -> None:
    suite = {"suite_name": "Nightly", "suite_size": 2}
    await add(
        console,
        ended_job("one.001-wit", suite_id="one", **suite),
        ended_job("one.002-bseq", suite_id="one", benchmark_name="BSEQ", config={}, **suite),
        ended_job("two.001-wit", suite_id="two", created_at=AT, **suite),
        ended_job("alone"),
    )
    page = await text_of(console, "/trends?suite=Nightly")
    assert "score of Nightly" in page
    drawn = (await console.http.get("/trends/data.plot?suite=Nightly")).json()["data"]
    assert sorted((line["name"].partition(",")[0], line["text"]) for line in drawn) == [
        ("BSEQ", ["one.002-bseq"]),
        ("WIT", ["one.001-wit", "two.001-wit"]),
    ]
    rows = (await console.http.get("/trends/data.csv?suite=Nightly")).text
    assert sorted(row.partition(",")[0] for row in rows.splitlines()[1:]) == [
        "one.001-wit",
        "one.002-bseq",
        "two.001-wit",
    ]


async def test_the_trends_of_several_devices_are_drawn_with_the_calibration_of_each(console: ServedConsole) -> None:
    await add(console, ended_job("a"), ended_job("b", device="other"), ended_job("c", device="third"), ended_job("d"))
    for device in ("homebrew_s2", "other", "third"):
        await console.store.devices.see(
            "tyxonq", device, num_qubits=13, simulator=False, status="online", metadata={"t1_us": 80.0}
        )
    chosen = "benchmark=WIT&device=tyxonq/other&device=tyxonq/homebrew_s2"
    drawn = (await console.http.get(f"/trends/data.plot?{chosen}")).json()["data"]
    assert {line["name"]: line["text"] for line in drawn} == {"tyxonq/homebrew_s2": ["a", "d"], "tyxonq/other": ["b"]}
    rows = (await console.http.get(f"/trends/data.csv?{chosen}")).text
    assert [row.partition(",")[0] for row in rows.splitlines()[1:]] == ["a", "b", "d"]
    page = await text_of(console, f"/trends?{chosen}")
    assert re.findall(r"Calibration of (\S+)", page) == ["tyxonq/other", "tyxonq/homebrew_s2"]


async def test_a_task_says_how_long_it_was_queued(console: ServedConsole) -> None:
    await add(console, ended_job("a"))
    await console.store.tasks._tasks.insert_one(
        {
            "_id": "a:0",
            "job_id": "a",
            "provider": "tyxonq",
            "device": "homebrew_s2",
            "state": "completed",
            "run": 0,
            "first": 0,
            "circuit_count": 1,
            "shots": 8192,
            "seed": 1,
            "provider_job_id": "theirs",
            "intended_at": AT,
            "ended_at": AT + timedelta(seconds=50),
            "execution_seconds": 2.5,
        }
    )
    assert "theirs 1 8192 47.5 s 2.5 s" in await text_of(console, "/jobs/a")


async def test_what_the_provider_says_of_a_dry_run_is_a_table(console: ServedConsole) -> None:
    said = [
        CheckedCircuit(run=0, first=0, said={"qubits": 2, "depth": 7, "result": "<b>"}),
        CheckedCircuit(run=0, first=1, said={"depth": 9, "qubits": "many"}),
    ]
    await add(console, ended_job("a", state=JobState.CHECKED, result=None, checked=said))
    shown = await text_of(console, "/jobs/a")
    assert "As the provider compiled it circuit qubits depth result 0 2 7 <b> 1 many 9" in shown
    assert "As the provider compiled it" not in await text_of(console, "/jobs/unknown")


async def test_each_benchmarks_formula_is_a_link_away(console: ServedConsole) -> None:
    await add(console, ended_job("a"))
    assert '<a href="/benchmarks/WIT">' in (await console.http.get("/jobs/a")).text
    for name in benchmarks.names():
        page = (await console.http.get(f"/benchmarks/{quote(name)}")).raise_for_status().text
        assert "Score." in page
        assert "<!--" not in page
        assert "\\frac" not in page
    assert "<mfrac>" in (await console.http.get("/benchmarks/Hidden%20Shift")).text
    assert (await console.http.get("/benchmarks/none")).status_code == 404


async def test_a_search_comes_once_the_page_is_there(console: ServedConsole) -> None:
    await add(console, ended_job("found"), ended_job("other"))
    page = await console.http.get("/jobs?text=foun")
    assert "Searching…" in page.text
    assert 'hx-trigger="load,' in page.text
    part = await console.http.get("/jobs?text=foun", headers={"X-Part": "table"})
    assert "/jobs/found" in part.text
    assert "/jobs/other" not in part.text


async def test_a_jobs_page_is_drawn_anew_only_when_something_has_changed(console: ServedConsole) -> None:
    await add(console, ended_job("a", state=JobState.COMPLETED, result=None))
    page = (await console.http.get("/jobs/a")).text
    [seen] = re.findall(r'id="seen" name="seen" value="(\w+)"', page)
    assert (await console.http.get(f"/jobs/a/live?seen={seen}")).status_code == 204
    await console.store.jobs._jobs.update_one({"_id": "a"}, {"$set": {"held": "a letter was given up"}})
    changed = await console.http.get(f"/jobs/a/live?seen={seen}")
    assert "a letter was given up" in changed.text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/jobs/not%20there", "'not there' is no name of a job: names begin with"),
        ("/jobs/%3Cb%3E/live", "'<b>' is no name of a job"),
        ("/suites/a%20b", "'a b' is no name of a suite"),
        ("/benchmarks/Nothing", "no page about the benchmark Nothing"),
        ("/compare?a=one&b=other", "one"),
        ("/submit?from=nothing", "nothing"),
        ("/submit?benchmark=Nothing", "Nothing"),
        ("/nothing/at/all", "This console has no page '/nothing/at/all'."),
    ],
)
async def test_the_page_of_what_is_not_there_says_so_and_leads_on(console: ServedConsole, path: str, said: str) -> None:
    answer = await console.http.get(path, headers={"Accept": "text/html"})
    shown = " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())
    assert (answer.status_code, "Not found" in shown, said in shown) == (404, True, True), shown
    for each in ('action="/jobs"', 'href="/jobs"', 'href="/"'):
        assert each in answer.text


@pytest.mark.parametrize("path", ["/jobs/none-such", "/suites/none-such"])
async def test_what_may_have_just_been_requested_is_waited_for_without_a_claim(
    console: ServedConsole, path: str
) -> None:
    shown = await text_of(console, path)
    assert "of this name is known. If it has just been requested," in shown
    assert "All jobs" in shown or "All suites" in shown


@pytest.mark.parametrize("path", ["/jobs", "/api/v1/jobs"])
@pytest.mark.parametrize("place", [["2026-01-01T00:00:00+00:00", "\ud800"], [], {}, None, [1, "x"], ["today", "x"]])
async def test_a_place_that_no_list_has_given_is_refused(console: ServedConsole, path: str, place: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
    assert (await console.http.get(path, params={"after": cursor})).status_code == 422


async def test_jobs_are_filtered_by_what_their_columns_show(console: ServedConsole) -> None:
    await add(
        console,
        ended_job("waits", state=JobState.DISPATCHING, result=None, held="in doubt", tags=["a & b", "c"]),
        ended_job(
            "of-suite", suite_id="4711", suite_name="Tonight", created_at=datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
        ),
        ended_job("failed", state=JobState.FAILED, created_at=datetime(2026, 11, 21, tzinfo=UTC)),
    )

    async def found(query: str) -> set[str]:
        page = (await console.http.get(f"/jobs?{query}", headers={"X-Part": "table"})).raise_for_status().text
        return set(re.findall('href="/jobs/([^"?]*)"', page))

    assert await found("state=held") == await found("held=1") == {"waits"}
    assert await found("held=0") == {"waits", "of-suite", "failed"}
    assert await found("state=failed&state=scored") == {"of-suite", "failed"}
    assert await found("suite=Tonight") == await found("suite=4711") == {"of-suite"}
    assert await found("since=2026-11-20&until=2026-11-20") == {"waits", "of-suite"}
    assert await found("since=2026-11-21") == {"failed"}
    page = (await console.http.get("/jobs?state=held&suite=Tonight&until=2026-11-20")).text
    assert "<option selected>held</option>" in page
    assert 'name="suite" value="Tonight"' in page
    assert 'name="until" value="2026-11-20"' in page
    assert await found("tag=a+%26+b") == await found("tag=c&tag=a+%26+b") == {"waits"}
    assert 'href="/jobs?tag=a%20%26%20b">a &amp; b</a>' in (await console.http.get("/jobs")).text
    assert await found("least_score=0.9&most_score=1") == {"of-suite", "failed"}
    assert await found("least_score=1.5") == await found("most_score=-1") == set()
    for wrong in ("least_score=inf", "most_score=high", "state=lost", "since=yesterday", "until=9999-12-31"):
        assert (await console.http.get(f"/jobs?{wrong}")).status_code == 422


async def test_the_next_page_of_a_list_has_all_of_its_filters(console: ServedConsole) -> None:
    await add(console, *(ended_job(f"job-{number:02}", state=JobState.FAILED) for number in range(51)))
    page = (await console.http.get("/jobs?state=failed&state=exported&done=1&not=0")).text
    [following] = re.findall('rel="next" href="([^"]*)"', page)
    assert unescape(following).startswith("/jobs?state=failed&state=exported&after=")
    assert len(re.findall('id="to-job', (await console.http.get(unescape(following))).text)) == 1


async def test_what_became_of_the_selected_jobs_is_said(console: ServedConsole) -> None:
    await add(console, ended_job("one", state=JobState.FAILED), ended_job("moving", state=JobState.COMPLETED))
    where = {"Referer": f"{console.url}/jobs?state=failed&done=9&not=9"}
    for jobs, note in (
        ([], "No job was selected."),
        (["one", "moving"], "Done with 1. Left as they are, since they are in no state for it: 1."),
    ):
        answer = await console.http.post("/jobs/selected", data={"act": "delete", "job": jobs}, headers=where)
        address = answer.headers["location"]
        assert address.startswith("/jobs?state=failed&done=")
        assert note in await text_of(console, address)
    assert "Done" not in await text_of(console, "/jobs?done=<b>&not=0")


async def test_a_delete_button_that_is_pressed_twice_leads_to_the_list_both_times(console: ServedConsole) -> None:
    await add(console, ended_job("one", state=JobState.FAILED))
    for _ in range(2):
        answer = await console.http.post("/jobs/one/delete", headers={"Origin": console.url})
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
    never = await console.http.post("/jobs/other/delete", headers={"Origin": console.url})
    assert never.status_code == 404


async def test_what_is_no_number_keeps_no_plot_and_no_table_from_being_drawn(console: ServedConsole) -> None:
    odd = {"score": {"value": math.nan, "uncertainty": math.inf}, "depth": math.inf}
    await add(console, ended_job("odd", result=odd), ended_job("fine"))
    await console.store.devices.see(
        "local", "odd", num_qubits=1, simulator=False, status="online", metadata={"t1_us": math.nan, "error": 0.5}
    )
    plot = (await console.http.get("/trends/data.plot?benchmark=WIT&metric=score")).raise_for_status().json()
    assert [trace["text"] for trace in plot["data"]] == [["fine"]]
    rows = (await console.http.get("/api/v1/results")).raise_for_status()
    assert {row["job_id"] for row in json.loads(rows.text, parse_constant=_refused)} == {"fine"}
    drawn = (await console.http.get("/devices/local/odd/calibration.plot")).raise_for_status().json()
    assert [trace["name"] for trace in drawn["data"]] == ["error"]
    for path in ("/jobs/odd", "/compare?a=odd&b=fine", "/devices", "/trends?benchmark=WIT"):
        (await console.http.get(path)).raise_for_status()


def _refused(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


async def test_exports_that_failed_lately_need_a_person_also_where_others_are_done(console: ServedConsole) -> None:
    now = datetime.now(UTC)
    failed, done = ({"state": state, "error": "no", "at": now} for state in ("failed", "done"))
    dropped = failed | {"error": DROPPED}
    times = {"state": JobState.EXPORTED, "updated_at": now}
    await add(
        console,
        ended_job(
            "earlier", **times | {"updated_at": now - timedelta(hours=1)}, exports={"github": failed, "json": done}
        ),
        ended_job("later", **times, exports={"github": failed, "webhook": failed, "json": done}),
        ended_job("dropped", **times, exports={"github": dropped}),
        ended_job("fine", **times, exports={"json": done}),
        ended_job("old", state=JobState.EXPORTED, exports={"json": failed}),
    )
    shown = await text_of(console, "/overview")
    assert "2 exports to github failed in the last day: the newest, later" in shown
    assert "1 export to webhook failed in the last day: later" in shown
    assert "to json failed" not in shown
