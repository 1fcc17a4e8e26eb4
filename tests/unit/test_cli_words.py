"""What the command line says: numbers, tables, ids, errors, estimates, and lines of a job file."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console

from metriq_gym.cli.errors import explain
from metriq_gym.client.client import Progress
from metriq_gym.client.configurations import NoConfiguration, examples, read_circuit, read_configuration
from metriq_gym.constants import JobType
from metriq_gym.errors import InvalidRequest, NotFound, Problem, Transient, Undecided, Unsupported
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.suite_progress import SuiteProgress, summarise
from metriq_gym.operations.importing import BadLine, _content, import_jobs, parse
from metriq_gym.settings import Settings
from metriq_gym.terminal import report
from metriq_gym.terminal.follow import ProgressLine, TimeLeft, follow, follow_suite
from metriq_gym.wording import shorten
from tests.support.jobs import ended_job, failed_job


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"value": 0.995849, "uncertainty": 0.00071}, "0.9958 ± 0.0007"),
        ({"value": 0.995849, "uncertainty": 0.00171}, "0.9958 ± 0.0017"),
        ({"value": 27.0, "uncertainty": None}, "27"),
        ({"value": 1.0, "uncertainty": 0.0}, "1 ± 0"),
        ({"value": 12345.6, "uncertainty": 432.1}, "12346 ± 432"),
        (None, "–"),
        (True, "yes"),
        ([0.5, 2], "0.5, 2"),
        (list(range(10)), "0, 1, 2, 3, 4, 5, 6, 7, … (10 in all)"),
        ("text", "text"),
    ],
)
def test_a_number_has_the_digits_that_its_uncertainty_leaves_it(value: Any, text: str) -> None:
    assert report.number(value) == text


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9))
def test_a_rounded_number_is_within_half_its_uncertainty(value: float, uncertainty: float) -> None:
    shown, around = map(float, report.number({"value": value, "uncertainty": uncertainty}).split(" ± "))
    assert abs(shown - value) <= max(0.5, 0.5 * uncertainty)
    assert around == pytest.approx(uncertainty, rel=0.5) or uncertainty < 1


def printed(width: int = 40, **options: Any) -> Console:
    return Console(file=io.StringIO(), width=width, **options)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_table_on_a_pipe_is_a_line_a_row_with_nothing_cut_off() -> None:
    console = printed()
    report.show_table(console, ("name", "what"), [["a", "x" * 100], ["[bold]", ""]])
    assert text_of(console).splitlines() == ["name    what", "a       " + "x" * 100, "[bold]"]


def test_an_id_in_a_list_is_in_one_piece_and_as_short_as_tells_it_apart() -> None:
    console = printed(60, force_terminal=True)
    made_up = "c784aded95c74df8b20d55d0aa50a1e9"
    chosen = "the-suite-of-tonight.017-quantum-volume"
    report.show_jobs(console, [ended_job(name) for name in (made_up, f"{made_up}.002-kernel", chosen)])
    text = text_of(console)
    assert {"c784aded95c7", "c784aded95c7.002-kernel", chosen} <= set(text.split())
    assert made_up not in text


def test_a_job_that_waits_at_the_provider_says_its_place_and_when_it_is_expected_to_start() -> None:
    console = printed(200)
    report.show_job(console, ended_job(), place=(4, datetime(2026, 1, 1, tzinfo=UTC)))
    assert "position 4, expected to start at 2026-01-01 00:00:00 UTC" in text_of(console)


def test_a_failed_job_says_why_and_where() -> None:
    console = printed(200)
    job = failed_job(outcome="rejected", of={"problems": [{"path": "$.config.shots", "message": "is too small"}]})
    report.show_job(console, job)
    assert "$.config.shots: is too small" in text_of(console)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InvalidRequest([Problem("$.a", "is wrong"), Problem("$.b", "is too")]), 1, ["$.a: is wrong", "$.b: is too"]),
        (Unsupported("needs 9 qubits"), 1, ["unsupported: needs 9 qubits"]),
        (NoConfiguration("cannot read x"), 2, ["cannot read x"]),
        (NotFound("there is no job x"), 3, ["there is no job x"]),
        (Transient("the store is away"), 4, ["away", "mgym doctor"]),
        (Transient("no answer; `mgym doctor` knows"), 4, ["knows\ntry again later"]),
        (Undecided("job x is held"), 6, ["job x is held"]),
        (ValueError("oops"), 70, ["ValueError: oops", "--debug"]),
    ],
)
def test_an_error_says_what_to_do_and_has_its_code(error: Exception, code: int, words: list[str]) -> None:
    message, found = explain(error)
    assert found == code
    assert all(word in message for word in words)


def test_a_setting_that_cannot_be_used_is_named_as_it_is_set() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(workers=0)
    message, code = explain(caught.value)
    assert (code, "METRIQ_WORKERS" in message) == (2, True)


def test_the_time_left_is_told_once_there_is_something_to_go_by() -> None:
    now = [0.0]
    estimate = TimeLeft(lambda: now[0])
    assert estimate.seconds_left(2, 10) is None
    now[0] = 2.0
    assert estimate.seconds_left(4, 10) is None
    now[0] = 10.0
    assert estimate.seconds_left(2, 10) is None
    assert estimate.seconds_left(4, 10) == pytest.approx(30)


def test_a_terminal_shows_the_stage_how_far_it_is_how_long_it_took_and_how_long_it_will(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    progress = ProgressLine("WIT [1] on local/d")
    progress.show("running")
    now[0] += 7
    assert progress.__rich__() == r"WIT \[1] on local/d: running (7 s)"
    progress.update("running, 3 of 9 tasks done")
    progress.expect(4000)
    now[0] += 100
    assert progress.__rich__().endswith("running, 3 of 9 tasks done (0:01:47, about 1:05:00 left)")
    progress.show("scoring")
    assert progress.__rich__().endswith("scoring (0:01:47)")


async def test_a_job_is_followed_with_how_far_its_submission_is_and_what_goes_wrong_meanwhile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def noted(*causes: str) -> Job:
        now = datetime.now(UTC)
        lines = [{"state": "dispatching", "at": now, "service": "dispatcher", "cause": cause} for cause in causes]
        return ended_job(state=JobState.DISPATCHING, history=lines)

    class Told:
        async def progress(self, *_: object) -> AsyncIterator[Progress]:
            yield Progress(noted("requested", "an answer was lost"), {"stored": 9})
            yield Progress(noted("requested", "an answer was lost", "another, too"), {"stored": 5, "submitted": 4})

    shown: list[str] = []
    progress = ProgressLine("WIT on local/d")
    monkeypatch.setattr(progress, "update", shown.append)
    await follow(Told(), "j", progress)  # type: ignore[arg-type]
    assert shown == ["submitting, 4 of 9 tasks accepted"]
    assert capsys.readouterr().err.splitlines()[1:] == ["another, too"]


async def test_a_suite_is_followed_with_what_its_records_wait_for_said_once_a_target(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def waiting(name: str) -> Job:
        pending = {"state": "pending", "at": datetime.now(UTC), "error": f"cannot write {name}.json: File exists"}
        return ended_job(name, state=JobState.SCORED, exports={"json": pending, "github": pending | {"error": None}})

    class Told:
        async def suite_progress(self, *_: object) -> AsyncIterator[tuple[SuiteProgress, list[Job]]]:
            for jobs in ([waiting("a")], [waiting("a"), waiting("b")]):
                yield summarise(jobs), jobs

    await follow_suite(Told(), "s", ProgressLine("suite"))  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said.count("what goes to json is tried again by itself: cannot write a.json: File exists") == 1
    assert "b.json" not in said
    assert "github" not in said


class TestConfigurations:
    @pytest.mark.parametrize(
        "name",
        [
            "wit",
            "wit.example.json",
            "metriq_gym/schemas/examples/wit.example.json",
            "schemas/examples/wit.example.json",
        ],
    )
    def test_an_example_is_found_by_any_of_its_names(self, name: str) -> None:
        assert read_configuration(name)["benchmark_name"] == "WIT"

    def test_a_file_of_the_same_name_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("wit.example.json").write_text('{"benchmark_name": "mine"}')
        assert read_configuration("wit.example.json") == {"benchmark_name": "mine"}

    def test_there_is_an_example_of_every_benchmark(self) -> None:
        assert {read_configuration(name)["benchmark_name"] for name in examples()} == set(JobType)


LINE: dict[str, Any] = {
    "id": "a-1",
    "job_type": "WIT",
    "params": {"num_qubits": 6},
    "data": {"provider_job_ids": ["p"]},
    "provider_name": "ibm",
    "device_name": "ibm_sherbrooke",
    "dispatch_time": "2025-01-15T12:00:00",
}


class TestJobFile:
    def test_a_line_of_the_present_format_is_read(self) -> None:
        job, notes = parse(json.dumps(LINE | {"suite_name": "s", "runtime_seconds": 1.5, "app_version": "0.3.1"}))
        assert (job.id, job.job_type, job.provider_job_ids) == ("a-1", JobType.WIT, ["p"])
        assert (job.suite_name, job.runtime_seconds, job.app_version, notes) == ("s", 1.5, "0.3.1", [])

    def test_older_lines_are_read_too(self) -> None:
        old = {key: value for key, value in LINE.items() if key not in ("provider_name", "device_name")}
        job, notes = parse(json.dumps(old | {"platform": {"provider": "aws", "device": "Ankaa"}, "version": "0.1"}))
        assert (job.provider_name, job.device_name, job.app_version, notes) == ("aws", "Ankaa", "0.1", [])

    def test_what_is_left_out_or_unknown_is_said(self) -> None:
        job, notes = parse(json.dumps(LINE | {"job_type": "Mermin", "weight": 2}))
        assert job.job_type == "Mermin"
        assert len(notes) == 2
        assert "Mermin" in notes[0]
        assert "weight" in notes[1]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("{", "is not JSON"),
            ("[]", "is not a JSON object"),
            (b"\xff{}", "is not text in UTF-8: byte 0xff at position 0"),
            ('{"id": "a", "id": "b"}', "has the key 'id' twice in one object, on line 1"),
            ("[" * 100_000, "is not JSON"),
            (json.dumps(LINE | {"id": None}), "lacks id"),
            (json.dumps(LINE | {"id": "../x"}), "id '../x'"),
            (json.dumps(LINE | {"params": []}), "params must be an object"),
            (json.dumps(LINE | {"result_data": 7}), "result_data must be an object or a list or null"),
            (json.dumps(LINE | {"dispatch_time": "yesterday"}), "dispatch_time"),
            (json.dumps(LINE | {"provider_name": None, "platform": None}), "provider_name must be text"),
            (json.dumps({**LINE, "params": {"x": float("nan")}}), "NaN is no JSON number"),
        ],
    )
    def test_a_line_that_is_no_job_says_why(self, line: str | bytes, reason: str) -> None:
        with pytest.raises(BadLine) as caught:
            parse(line)
        assert reason in str(caught.value)

    @pytest.mark.slow
    @given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda each: st.lists(each, max_size=3)))
    def test_whatever_a_field_holds_is_a_job_or_a_bad_line(self, value: Any) -> None:
        for name in LINE:
            try:
                job, _ = parse(json.dumps(LINE | {name: value}))
            except BadLine:
                continue
            json.loads(job.serialize())


async def test_a_store_that_is_away_makes_no_line_a_bad_one(tmp_path: Path) -> None:
    async def away(*_: object) -> None:
        raise Transient("the store is away")

    path = tmp_path / "jobs.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    store: Any = SimpleNamespace(records=SimpleNamespace(add=away))
    with pytest.raises(Transient):
        await import_jobs(store, path)


@pytest.mark.parametrize(
    "read", [read_configuration, lambda path: read_circuit(Path(path), 1, []), lambda path: _content(Path(path))]
)
def test_a_file_that_cannot_be_read_is_named_once_and_in_words(read: Any, tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing.json")
    with pytest.raises(NoConfiguration) as refused:
        read(missing)
    assert str(refused.value) == f"cannot read {missing}: no such file or directory"


def test_what_is_cut_out_of_a_long_text_ends_between_words() -> None:
    words = [f"word{number}" for number in range(200)]
    shown = shorten(" ".join(words)).split()
    assert set(shown) - set(words) == {"…"}
    assert len(" ".join(shown)) <= 303
    assert shorten("x" * 400) == f"{'x' * 150} … {'x' * 150}"
