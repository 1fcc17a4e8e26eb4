"""Paths, branches and texts of an upload are what the dataset wants, whatever names are in the record."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym.errors import Permanent
from metriq_gym.exporters.pull_request import PullRequest, branch_name, compose
from metriq_gym.exporters.record import Record, make_record
from metriq_gym.exporters.upload_path import encode, safe_name, upload_path
from tests.support.jobs import ended_job, failed_job

anything = st.text(max_size=60)
awkward = st.sampled_from(
    ["", ".", "..", "...", ".git", ".GIT", "a/b", "..\\..", "é", "İ", "ß", "\0", "a\nb", "~1", "CON"]
)


def composed(records: list[Record], **changes: Any) -> PullRequest:
    where: dict[str, Any] = {"repo": "o/r", "base_branch": "main", "directory": "results/"} | changes
    return compose(records, "id", **where)


def test_a_path_names_version_provider_device_time_type_and_digest() -> None:
    record = make_record(ended_job(benchmark_name="Linear Ramp QAOA", device="Homebrew_S2?o=3"))
    payload = encode([record])
    digest = hashlib.sha256(payload).hexdigest()[:8]
    name = f"2026-11-20_12-34-56_linear_ramp_qaoa_{digest}.json"
    assert upload_path(record, payload) == f"metriq-gym/v0.3/tyxonq/homebrew_s2_o_3/{name}"


def test_times_are_told_in_utc() -> None:
    record = make_record(ended_job()) | {"timestamp": "2026-11-20T01:30:00+02:00"}
    assert "/2026-11-19_23-30-00_" in upload_path(record, b"")


def test_the_same_record_always_has_the_same_path() -> None:
    assert composed([make_record(ended_job())]) == composed([make_record(ended_job())])


@given(provider=anything | awkward, device=anything | awkward, job_type=anything | awkward, version=anything | awkward)
def test_no_name_leads_out_of_the_folder_or_has_another_character(
    provider: str, device: str, job_type: str, version: str
) -> None:
    job = ended_job(provider=provider, device=device, benchmark_name=job_type, app_version=version)
    path = upload_path(make_record(job), b"")
    assert re.fullmatch(r"[a-z0-9._-]+(/[a-z0-9._-]+){4}", path)
    parts = PurePosixPath(path).parts
    assert len(parts) == 5
    assert not {".", "..", ".git"} & set(parts)
    assert parts[0] == "metriq-gym"
    assert path.endswith(".json")


@given(st.text(alphabet="abcxyz0189._-", min_size=1).filter(lambda text: text.strip(".") not in ("", "git")))
def test_a_name_that_is_fine_stays_as_it_is(name: str) -> None:
    assert safe_name(name) == name


@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z"))
def test_every_job_id_gives_a_branch_that_git_takes(job_id: str) -> None:
    name = branch_name(job_id)
    assert name.startswith("mgym/upload-")
    assert re.fullmatch(r"[A-Za-z0-9._/-]+", name)
    assert ".." not in name
    assert not name.endswith((".", ".lock", "/"))


def test_a_branch_is_named_after_the_id_and_altered_ids_stay_distinct() -> None:
    assert branch_name("nightly.001-wit") == "mgym/upload-nightly.001-wit"
    assert len({branch_name(each) for each in ("a:b", "a_b", "a..b", "a.b", "a:b.lock", "a_b.lock")}) == 6


@pytest.mark.parametrize("job_id", ["a:b", "a..b", "a.", "a.lock", "a.b-c_d", "A--"])
def test_git_itself_takes_the_branch(job_id: str) -> None:
    subprocess.run(["git", "check-ref-format", "--branch", branch_name(job_id)], check=True, capture_output=True)


def test_the_file_is_an_array_of_the_records_in_order() -> None:
    records = [make_record(ended_job("a")), make_record(failed_job("b"))]
    wanted = composed(records, suite="nightly")
    assert json.loads(wanted.content) == records
    assert wanted.title == "mgym upload: nightly on tyxonq/homebrew_s2"
    assert "_nightly_" in wanted.path
    assert "score 0.99 +- 0.001" in wanted.body
    assert "error" in wanted.body


def test_a_suite_over_several_devices_is_named_so() -> None:
    records = [make_record(ended_job("a")), make_record(ended_job("b", device="other"))]
    assert "/tyxonq/several/" in composed(records, suite="s").path


@pytest.mark.parametrize("directory", ["..", "a/../b", "./a", "a/.git/hooks", "a\\b", "a\nb"])
def test_a_directory_that_leads_elsewhere_is_refused(directory: str) -> None:
    with pytest.raises(Permanent, match="not a folder"):
        composed([make_record(ended_job())], directory=directory)


@pytest.mark.parametrize(("directory", "begins"), [("", "metriq-gym/"), ("/results//x/", "results/x/metriq-gym/")])
def test_a_directory_may_be_written_in_any_way(directory: str, begins: str) -> None:
    assert composed([make_record(ended_job())], directory=directory).path.startswith(begins)


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_name_mentions_anybody_or_closes_an_issue(suite: str, device: str) -> None:
    wanted = composed([make_record(ended_job(device=device))], suite=f"@everyone fixes #1 [x](y) {suite}")
    for text in (wanted.title, wanted.body, wanted.commit_message):
        assert not re.search(r"[@#\[\]<>]", text)
    assert "\n" not in wanted.title
    assert len(wanted.title) <= 256


def test_a_record_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(Permanent, match="JSON"):
        composed([make_record(ended_job(result={"value": float("nan")}))])
