"""The console's pages as HTML, without a browser: what is on them, and what a form does."""

from __future__ import annotations

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
from services.console.figures import over_time, points
from tests.support.console import ServedConsole, served_console
from tests.support.jobs import AT, SCORE, ended_job, failed_job


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
    assert answer.headers["location"] == "/jobs?done=done"
    [again] = asked
    assert (again.provider, again.device, again.compilation) == ("tyxonq", "homebrew_s2", "best")
    assert again.model_dump(include=set(said)) == said
    form = (await console.http.get("/submit?from=a")).text
    assert "<option selected>best</option>" in form
    assert 'value="it&#39;s a note"' in form
    filled = {"benchmark": "WIT", "at": "tyxonq/homebrew_s2", "config.num_qubits": "7", "compilation": "best"}
    assert (await console.http.post("/submit", data=filled)).status_code == 303
    assert asked[-1].compilation == "best"
    page = await text_of(console, "/jobs/a")
    assert "-d homebrew_s2 --compilation best" in page
    assert page.count('"compilation": "best"') == page.count('"tags": ["tonight", "by hand"]') == 2
    assert "--group us --tag tonight --tag 'by hand'" in page


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/submit", {"at": "local/" + "x" * 400}),
        ("/submit", {"compilation": "worst"}),
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
