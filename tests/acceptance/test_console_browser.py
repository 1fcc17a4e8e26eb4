"""The console in a real browser: what people do with it, seen as they see it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Dialog, Page, Route, expect

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.port import SCORER
from metriq_gym.jobs import Job, JobState, Task, TaskState
from tests.support.browser import Browsers, Visitor, barriers, started, visitors
from tests.support.console import REQUEST, TOKENS, WIT, WITH_TOKENS, ServedConsole, served_console
from tests.support.jobs import ended_job, watch
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = (
    "/",
    "/jobs",
    "/submit",
    "/suites",
    "/schedules",
    "/devices",
    "/trends",
    "/dead-letters",
    "/settings",
    "/api/docs",
)
NIGHTLY = REQUEST | {"name": "nightly", "cron": "0 0 1 1 *", "timezone": "Europe/Berlin"}
LINKS = (
    "[...document.querySelectorAll('main a')].map(a => a.getAttribute('href') || a.getAttribute('xlink:href') || '')"
)
MARKUP = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&{{1337*1337}}<a href='https://elsewhere.example'>x</a>"
)


@dataclass
class Seen:
    """A console and browsers to look at it."""

    console: ServedConsole
    browsers: Browsers

    async def visitor(self, role: str | None = None) -> Visitor:
        """A visitor, logged in if a role is named."""
        visitor = await self.browsers.visitor(self.console.url)
        if role is not None:
            page = await visitor.page("/login")
            await page.get_by_label("Token").fill(TOKENS[role])
            await page.get_by_role("button", name="Log in").click()
            await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
            await page.close()
        return visitor


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One that all tests of a worker use: it takes longer to start than most of them."""
    async with started() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def seen(mongo_url: str, mongo_database: str, tmp_path: Path, browser: Browser) -> AsyncIterator[Seen]:
    async with served_console(mongo_url, mongo_database, tmp_path) as console, visitors(browser) as running:
        yield Seen(console, running)


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(mongo_url: str, mongo_database: str, tmp_path: Path, browser: Browser) -> AsyncIterator[Seen]:
    """One that has a token for each role."""
    async with (
        served_console(mongo_url, mongo_database, tmp_path, services=True, **WITH_TOKENS) as console,
        visitors(browser) as running,
    ):
        yield Seen(console, running)


async def ended(console: ServedConsole, job_id: str) -> Job:
    async with asyncio.timeout(PATIENCE):
        return [job async for job in watch(console.store, job_id)][-1]


async def exported(console: ServedConsole, job_id: str) -> None:
    async with asyncio.timeout(PATIENCE):
        async for _ in watch(console.store, job_id, until=lambda job: job.state is JobState.EXPORTED):
            pass


async def test_a_job_is_submitted_from_the_form_and_watched_to_its_score(seen: Seen) -> None:
    page = await (await seen.visitor()).page("/submit?benchmark=WIT")
    await page.get_by_label("shots").fill("200")
    await page.get_by_role("button", name="Estimate").click()
    await expect(page.get_by_text("Predicted by local/aer_simulator")).to_be_visible()
    await page.get_by_role("button", name="Submit").click()
    await expect(page.get_by_role("heading", name="Result")).to_be_visible()
    await expect(page.get_by_role("cell", name="score", exact=True)).to_be_visible()
    await expect(page.locator("#counts-plot svg.main-svg").first).to_be_attached()
    await page.get_by_text("Draw the first circuit").click()
    await expect(page.get_by_label("Drawing of circuit")).to_contain_text("q_0")


async def test_what_is_wrong_with_a_form_is_said_at_its_fields(seen: Seen) -> None:
    visitor = await seen.visitor()
    visitor.expected = ("422",)
    page = await visitor.page("/submit?benchmark=WIT")
    await page.get_by_label("shots").fill("many")
    await page.get_by_role("button", name="Submit").click()
    field = page.locator(".field", has=page.get_by_label("shots"))
    await expect(field.get_by_role("alert")).to_contain_text("is not of type 'integer'")
    assert await page.get_by_label("shots").get_attribute("aria-invalid") == "true"
    assert await page.get_by_label("shots").input_value() == "many"
    assert await seen.console.store.catalogue.page() == []


async def test_two_browsers_see_the_same_job_move(seen: Seen) -> None:
    pages = [await (await seen.visitor()).page("/jobs/both") for _ in range(2)]
    for page in pages:
        await expect(page.get_by_text("No job of this name is known")).to_be_visible()
    await seen.console.http.post("/jobs", json=REQUEST | {"job_id": "both"})
    for page in pages:
        await expect(page.locator("p.lead .state")).to_have_text("exported")


async def test_the_list_of_jobs_is_live_and_filtered_by_its_address(seen: Seen) -> None:
    page = await (await seen.visitor()).page("/jobs")
    await seen.console.http.post("/jobs", json=REQUEST | {"job_id": "appears"})
    await seen.console.http.post("/jobs", json=REQUEST | {"job_id": "rejected", "device": "nowhere"})
    await expect(page.get_by_role("link", name="appears")).to_be_visible()
    await page.get_by_label("Select appears").check()
    await ended(seen.console, "rejected")
    await expect(page.locator("tr", has_text="nowhere").locator(".state")).to_have_text("rejected")
    await expect(page.get_by_label("Select appears")).to_be_checked()
    await page.get_by_label("State").select_option("rejected")
    await page.wait_for_url("**state=rejected**")
    await expect(page.get_by_role("link", name="rejected", exact=True)).to_be_visible()
    await expect(page.get_by_role("link", name="appears")).to_have_count(0)


async def test_what_happens_while_a_list_is_on_its_way_is_seen_though_nothing_happens_after_it(seen: Seen) -> None:
    """Also if the request for it fails once. The job changes after the list was read and before the page has it."""
    jobs = seen.console.store.jobs._jobs
    visitor = await seen.visitor()
    visitor.expected = ("503",)
    page = await visitor.page("/jobs")
    seen_before = 0

    async def on_its_way(route: Route) -> None:
        nonlocal seen_before
        answer = await route.fetch()
        if "moves" in await answer.text():
            seen_before += 1
        if seen_before == 1:
            await jobs.update_one({"_id": "moves"}, {"$set": {"remarks": "at last"}})
            await route.fulfill(response=answer)
        elif seen_before == 2:
            await route.fulfill(status=503)
        else:
            await route.fulfill(response=answer)

    await page.route(lambda url: url.endswith("/jobs?"), on_its_way)
    job = ended_job("moves", state=JobState.EXPORTED, remarks="at first")
    await jobs.insert_one(job.model_dump(by_alias=True, exclude_defaults=True))
    await expect(page.get_by_text("at last")).to_be_visible()
    await expect(page.get_by_text("The connection is lost")).to_be_hidden()
    assert seen_before > 2


async def test_an_operator_gives_a_held_job_up_and_replays_a_dead_letter(guarded: Seen) -> None:
    console = guarded.console
    held = ended_job("held", state=JobState.DISPATCHING, result=None, held="may have been accepted", lease=None)
    document = held.model_dump(by_alias=True, exclude_defaults=True)
    await console.store.jobs._jobs.insert_one(document)
    console.bus.dead_letters.append(
        DeadLetter(
            queue=SCORER.name,
            routing_key="job.completed",
            body=b'{"job_id": "gone"}',
            message_id="gone/job.completed",
            type="job.completed",
            job_id="gone",
            reason="ValueError: it broke",
            traceback="",
            first=None,
            last=None,
            deliveries=10,
        )
    )
    visitor = await guarded.visitor("operator")
    page = await visitor.page("/")
    await expect(page.get_by_role("heading", name="Needs a person")).to_be_visible()
    await page.get_by_role("link", name="held", exact=True).first.click()
    asked: list[str] = []

    async def accepted(dialog: Dialog) -> None:
        asked.append(dialog.message)
        await dialog.accept()

    page.on("dialog", accepted)
    await page.get_by_role("button", name="Give the job up").click()
    await expect(page.locator("p.lead .state")).to_have_text("failed")
    await page.get_by_role("link", name="Dead letters").click()
    await page.get_by_role("button", name="Replay").click()
    await expect(page.get_by_text("Handed back to its service.")).to_be_visible()
    assert asked == ["Give job held up? It ends as failed."]
    assert console.bus.dead_letters == []


async def test_what_a_viewer_may_not_do_is_absent_and_refused(guarded: Seen) -> None:
    async with guarded.console.as_role("submitter") as client:
        await client.post("/jobs", json=REQUEST | {"job_id": "one"})
    await exported(guarded.console, "one")
    visitor = await guarded.visitor("viewer")
    visitor.expected = ("403",)
    page = await visitor.page("/jobs/one")
    await expect(page.get_by_role("heading", name="Result")).to_be_visible()
    for name in ("Cancel", "Delete", "Upload to GitHub"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    for name in ("Run again…", "Submit", "Dead letters"):
        await expect(page.get_by_role("link", name=name)).to_have_count(0)
    for path in ("/jobs/one/delete", "/jobs/one/cancel", "/jobs/selected", "/submit", "/suites", "/dead-letters"):
        status = await page.evaluate("path => fetch(path, {method: 'POST'}).then(answer => answer.status)", path)
        assert status == 403, path
    assert (await guarded.console.store.jobs.get("one")).state is JobState.EXPORTED


async def test_a_stranger_is_asked_for_a_token_and_a_session_ends_with_log_out(guarded: Seen) -> None:
    visitor = await guarded.visitor()
    visitor.expected = ("401",)
    page = await visitor.page("/jobs?state=failed")
    await page.get_by_label("Token").fill("guessed")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_label("Token").fill(TOKENS["viewer"])
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url("**/jobs?state=failed")
    [cookie] = await visitor.context.cookies()
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Token")).to_be_visible()
    await page.goto(f"{guarded.console.url}/jobs")
    await expect(page.get_by_label("Token")).to_be_visible()


async def test_a_restart_while_somebody_looks_is_said_and_recovered_from(seen: Seen) -> None:
    visitor = await seen.visitor()
    visitor.expected = ("ERR_", "Failed to load")
    page = await visitor.page("/jobs")
    await expect(page.get_by_text("No job is like that.")).to_be_visible()
    port = seen.console.console.port
    await seen.console.console.stop()
    await expect(page.get_by_text("The connection is lost")).to_be_visible()
    await seen.console.client.dispatch(REQUEST["config"], "local", "aer_simulator", job_id="meanwhile")
    await seen.console.start(port)
    await expect(page.get_by_text("The connection is lost")).to_be_hidden()
    await expect(page.get_by_role("link", name="meanwhile")).to_be_visible()


async def test_what_strangers_write_is_text_everywhere(seen: Seen) -> None:
    job = ended_job(
        "hostile",
        state=JobState.FAILED,
        result={MARKUP: 1.0},
        benchmark_name=MARKUP,
        provider=MARKUP,
        device=MARKUP,
        target=MARKUP,
        remarks=MARKUP,
        tags=[MARKUP],
        group=MARKUP,
        suite_id="suite",
        suite_name=MARKUP,
        config={"benchmark_name": MARKUP, MARKUP: MARKUP},
        device_metadata={MARKUP: MARKUP},
        failure={"outcome": "error", "reason": MARKUP, "source": "poll"},
        exports={"json": {"state": "failed", "error": MARKUP, "at": "2026-11-20T00:00:00Z"}},
        history=[{"state": "failed", "at": "2026-11-20T00:00:00Z", "service": MARKUP, "cause": MARKUP}],
    )
    await seen.console.store.jobs._jobs.insert_one(job.model_dump(by_alias=True, exclude_defaults=True))
    said = {"provider_job_id": MARKUP, "error": MARKUP, "state": TaskState.FAILED}
    task = Task.model_validate(
        {"_id": "hostile:0", "job_id": "hostile", "provider": MARKUP, "device": MARKUP, "run": 0, "first": 0}
        | {"circuit_count": 1, "shots": 1, "seed": 1}
        | said
    )
    await seen.console.store.tasks._tasks.insert_one(task.model_dump(by_alias=True, exclude_defaults=True))
    await seen.console.store.parked.park(MARKUP, MARKUP, 60)
    suite = {"name": MARKUP[:60], "benchmarks": [{"name": "one", "config": WIT}]}
    asked = {"name": "nightly", "cron": "0 0 1 1 *", "provider": "local", "device": "aer_simulator", "suite": suite}
    (await seen.console.http.post("/schedules", json=asked)).raise_for_status()
    held = ended_job("held", state=JobState.DISPATCHING, result=None, held=MARKUP)
    await seen.console.store.jobs._jobs.insert_one(held.model_dump(by_alias=True, exclude_defaults=True))
    await seen.console.store.devices.see(
        MARKUP, MARKUP, num_qubits=1, simulator=False, status=MARKUP, metadata={MARKUP: MARKUP, "t1_us": 1.0}
    )
    seen.console.bus.dead_letters.append(
        DeadLetter(SCORER.name, MARKUP, MARKUP.encode(), MARKUP, MARKUP, MARKUP, MARKUP, MARKUP, None, None, 1)
    )
    visitor = await seen.visitor()
    visitor.expected = ("404",)  # what is drawn of such a job is not there
    pages = ("/", "/jobs", "/jobs/hostile", "/suites", "/suites/suite", "/devices", "/trends", "/dead-letters")
    query = urlencode({"text": MARKUP, "suite": MARKUP, "tag": MARKUP, "least_score": 1})
    for path in (
        *pages,
        "/schedules",
        "/compare?a=hostile&b=held",
        f"/jobs?{query}",
        f"/jobs/{quote(MARKUP, safe='')}",
    ):
        page = await visitor.page(path)
        page.on("dialog", lambda dialog: visitor.complaints.append(f"dialog {dialog.message}"))
        await expect(page.get_by_text("<script>alert(2)</script>").first).to_be_attached()
        assert await page.locator("main script, img[src=x]").count() == 0, path
        assert "1787569" not in (await page.locator("main").inner_text()), path
        if path == "/trends":
            await expect(page.locator("#trend .legendtext")).to_contain_text("<a href=")
        assert not [each for each in await page.evaluate(LINKS) if each.startswith("https:")], path
        await page.close()


async def test_a_schedule_is_paused_and_run_at_the_press_of_a_button(guarded: Seen) -> None:
    async with guarded.console.as_role("submitter") as client:
        (await client.post("/schedules", json=NIGHTLY)).raise_for_status()
    visitor = await guarded.visitor("submitter")
    page = await visitor.page("/")
    await page.get_by_role("link", name="Schedules").click()
    row = page.get_by_role("row").filter(has_text="nightly")
    await expect(row).to_contain_text("none yet")
    await expect(page.get_by_role("button", name="Delete nightly")).to_have_count(0)
    await page.get_by_role("button", name="Pause nightly").click()
    await expect(row).to_contain_text("paused")
    await page.get_by_role("button", name="Resume nightly").click()
    await expect(row).to_contain_text("-12-31 23:00:00 UTC")
    await page.get_by_role("button", name="Run nightly now").click()
    await expect(page.get_by_role("status").first).to_have_text("Asked to run now.")
    schedule = await guarded.console.store.schedules.get("nightly")
    assert schedule is not None
    (tick,) = (*schedule.open, *schedule.ticks)
    await exported(guarded.console, tick.id)
    await page.goto(f"{guarded.console.url}/schedules")
    await row.get_by_role("link", name="exported").click()
    await expect(page.get_by_role("heading", name="WIT").first).to_be_visible()


async def test_no_page_has_a_serious_barrier_at_any_width_in_light_and_in_the_dark(seen: Seen) -> None:
    await seen.console.http.post("/jobs", json=REQUEST | {"job_id": "one"})
    await seen.console.http.post("/jobs", json=REQUEST | {"job_id": "two", "device": "nowhere"})
    await exported(seen.console, "one")
    (await seen.console.http.post("/schedules", json=NIGHTLY)).raise_for_status()
    alike = ended_job("alike", provider="local", device="aer_simulator", config=WIT)
    await seen.console.store.jobs._jobs.insert_one(alike.model_dump(by_alias=True, exclude_defaults=True))
    visitor = await seen.visitor()
    found: dict[tuple[str, object], list[str]] = {}
    visitor.expected = ("404",)
    others = (
        "/benchmarks/Hidden%20Shift",
        "/compare?a=one&b=alike",
        "/login",
        "/jobs?least_score=0",
        "/submit?from=one",
    )
    for path in (*PAGES, *others, "/jobs/one", "/jobs/two", "/jobs/nothing", "/jobs/not%20a%20name", "/nothing"):
        page = await visitor.page(path)
        if path == "/api/docs":
            await expect(page.locator(".opblock").first).to_be_visible()
            await expect(page.locator(".errors")).to_have_count(0)
        for width in (390, 1024, 3840):
            await page.set_viewport_size({"width": width, "height": 900})
            if width != 1024:
                found[path, width] = await barriers(page)
            assert await _fits(page), (path, width)
        # Where all but the colours is as it was.
        await page.emulate_media(color_scheme="dark")
        found[path, "dark"] = await barriers(page, ["color-contrast"])
        await page.close()
    assert {where: what for where, what in found.items() if what} == {}


async def test_a_trend_is_taken_away_as_png_svg_and_csv(seen: Seen) -> None:
    await seen.console.store.jobs._jobs.insert_many(
        [ended_job(name).model_dump(by_alias=True, exclude_defaults=True) for name in ("first", "second")]
    )
    visitor = await seen.browsers.visitor(seen.console.url)
    page = await visitor.page("/trends?benchmark=WIT&metric=score")
    await expect(page.locator("#trend .main-svg").first).to_be_visible()
    taken = {}
    for role, name in (("button", "PNG"), ("button", "SVG"), ("link", "CSV")):
        async with page.expect_download() as download:
            await page.get_by_role(role, name=name).click()  # type: ignore[arg-type]
        file = await download.value
        taken[file.suggested_filename] = (await file.path()).read_bytes()
    assert taken["trend.png"].startswith(b"\x89PNG")
    assert b"<svg" in taken["trend.svg"]
    _, *rows = taken["trend.csv"].decode().splitlines()
    assert [row.split(",")[0] for row in rows] == ["first", "second"]


async def drawn_anew(seen: Seen, page: Page, job_id: str) -> None:
    """Return when what changes of a job's page has been drawn anew."""
    remarks = secrets.token_hex(4)
    await seen.console.store.jobs._jobs.update_one({"_id": job_id}, {"$set": {"remarks": remarks}})
    await expect(page.get_by_text(remarks).first).to_be_visible()


async def test_what_an_operator_types_stays_while_the_page_is_drawn_anew(guarded: Seen) -> None:
    console = guarded.console
    held = ended_job("held", state=JobState.DISPATCHING, result=None, held="may have been accepted", lease=None)
    await console.store.jobs._jobs.insert_one(held.model_dump(by_alias=True, exclude_defaults=True))
    visitor = await guarded.visitor("operator")
    page = await visitor.page("/jobs/held")
    answer = page.get_by_label("The provider's id of it")
    await answer.fill("job_47")
    await answer.press("ArrowLeft")
    await drawn_anew(guarded, page, "held")
    await expect(answer).to_be_focused()
    await page.keyboard.type("1")
    await expect(answer).to_have_value("job_417")


async def test_a_job_is_compared_with_one_that_is_offered(seen: Seen) -> None:
    await seen.console.store.jobs._jobs.insert_many(
        [ended_job(name).model_dump(by_alias=True, exclude_defaults=True) for name in ("one", "other")]
    )
    visitor = await seen.browsers.visitor(seen.console.url)
    page = await visitor.page("/jobs/one")
    await page.get_by_label("Compare with").select_option("other")
    await drawn_anew(seen, page, "one")
    await page.get_by_role("button", name="Compare").click()
    await expect(page.get_by_role("cell", name="+0.0 σ")).to_have_count(len(ended_job("one").result or {}))


async def test_what_cannot_be_undone_is_asked_about_first(seen: Seen) -> None:
    await seen.console.store.jobs._jobs.insert_one(ended_job("one").model_dump(by_alias=True, exclude_defaults=True))
    visitor = await seen.browsers.visitor(seen.console.url)
    visitor.expected = ("404",)  # the page may see that its job is gone
    page = await visitor.page("/jobs/one")
    asked: list[str] = []

    async def answered(dialog: Dialog) -> None:
        asked.append(dialog.message)
        await (dialog.dismiss() if len(asked) == 1 else dialog.accept())

    page.on("dialog", answered)
    await page.get_by_role("button", name="Delete").click()
    assert asked == ["Delete job one for good?"]
    assert not await seen.console.store.records.is_deleted("one")
    await page.get_by_role("button", name="Delete").click()
    await page.wait_for_url("**/jobs")
    assert await seen.console.store.records.is_deleted("one")


async def test_deleting_leads_to_the_list_though_the_page_sees_first_that_its_job_is_gone(seen: Seen) -> None:
    await seen.console.store.jobs._jobs.insert_one(ended_job("one").model_dump(by_alias=True, exclude_defaults=True))
    visitor = await seen.browsers.visitor(seen.console.url)
    visitor.expected = ("404",)
    page = await visitor.page("/jobs/one")

    async def once_seen(route: Route) -> None:
        async with page.expect_response(lambda answer: answer.url.endswith("/live") or "/live?" in answer.url) as gone:
            await seen.console.store.records.delete("one")
        assert (await gone.value).status == 404
        await route.continue_()

    page.on("dialog", lambda dialog: dialog.accept())
    await page.route("**/jobs/one/delete", once_seen)
    await page.get_by_role("button", name="Delete").click()
    await page.wait_for_url("**/jobs")


async def test_a_job_is_found_and_opened_by_keyboard_alone(seen: Seen) -> None:
    await seen.console.store.jobs._jobs.insert_many(
        [ended_job(name).model_dump(by_alias=True, exclude_defaults=True) for name in ("wanted", "other")]
    )
    visitor = await seen.browsers.visitor(seen.console.url)
    page = await visitor.page("/jobs")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Search")).to_be_focused()
    await page.keyboard.type("wanted")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="other")).to_have_count(0)
    await page.get_by_role("link", name="wanted").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="wanted")).to_be_visible()


async def test_selected_jobs_are_seen_to_by_keyboard_alone(seen: Seen) -> None:
    jobs = [ended_job(name, state=JobState.EXPORTED) for name in ("one", "two", "kept")]
    await seen.console.store.jobs._jobs.insert_many(
        [job.model_dump(by_alias=True, exclude_defaults=True) for job in jobs]
    )
    visitor = await seen.browsers.visitor(seen.console.url)
    page = await visitor.page("/jobs?state=exported")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Delete").press("Enter")
    await expect(page.get_by_role("status").first).to_have_text("No job was selected.")
    for name in ("one", "two"):
        await page.get_by_label(f"Select {name}").press("Space")
    await page.get_by_role("button", name="Cancel").press("Enter")
    await expect(page.get_by_role("status").first).to_contain_text("in no state for it: 2.")
    for name in ("one", "two"):
        await page.get_by_label(f"Select {name}").press("Space")
    await page.get_by_role("button", name="Delete").press("Enter")
    await expect(page.get_by_role("status").first).to_have_text("Done with 2.")
    await expect(page.get_by_role("link", name="two")).to_have_count(0)
    await expect(page.get_by_role("link", name="kept")).to_be_visible()
    assert "state=exported" in page.url


REDRAWN = """new Promise((done) => {
    document.addEventListener("htmx:afterRequest", () => done(), { once: true });
    htmx.trigger(document.body, "refresh");
})"""


@pytest.mark.parametrize("key", [None, "Space"], ids=["pointer", "key"])
async def test_a_press_counts_though_the_list_is_to_be_drawn_anew_meanwhile(seen: Seen, key: str | None) -> None:
    await seen.console.store.jobs._jobs.insert_one(
        ended_job("one", state=JobState.EXPORTED).model_dump(by_alias=True, exclude_defaults=True)
    )
    visitor = await seen.browsers.visitor(seen.console.url)
    page = await visitor.page("/jobs")
    box = page.get_by_label("Select one")
    if key is None:
        await box.hover()
        await page.mouse.down()
    else:
        await box.focus()
        await page.keyboard.down(key)
    await page.evaluate(REDRAWN)
    await (page.mouse.up() if key is None else page.keyboard.up(key))
    await expect(box).to_be_checked()
    await page.evaluate(REDRAWN)
    await expect(box).to_be_checked()


async def _fits(page: Page) -> bool:
    """Whether the page is no wider than the window."""
    fits: bool = await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    return fits
