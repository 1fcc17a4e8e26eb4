"""Finding a submission whose answer was lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from metriq_gym.errors import Transient
from metriq_gym.providers.provider import Adopted, Ambiguous, LostSubmission, NotAccepted, Submission
from metriq_gym.providers.tyxonq.errors import NoAnswer, ProtocolError, TyxonQRefused
from metriq_gym.providers.tyxonq.lost import find_lost_submission, match_lost_submission, with_tag
from metriq_gym.providers.tyxonq.models import TaskDetail, TaskRow
from tests.support.tyxonq import NOW

TAG = "wit-1:0"
OLD: dict[str, Any] = {
    "job_name": "old",
    "device": "homebrew_s2",
    "status": "completed",
    "created_at": "2026-11-19T10:00:00Z",
}
IN_TIME, TOO_EARLY, TOO_LATE = ((NOW + timedelta(seconds=seconds)).isoformat() for seconds in (10, -3600, 3600))
NEW: dict[str, Any] = {"job_name": "new", "device": "homebrew_s2?o=3", "created_at": IN_TIME, "shots": 100}


def lost(tag: str = TAG, *, shots: int = 100, device: str = "homebrew_s2?o=3", since: datetime = NOW) -> LostSubmission:
    return LostSubmission(Submission(device, "", shots, tag), (since, since + timedelta(seconds=30)))


def match(
    rows: Sequence[dict[str, Any]],
    *others: LostSubmission,
    complete: bool = True,
    known: Sequence[str] = ("old",),
) -> object:
    return match_lost_submission(
        known, [TaskRow.model_validate(row) for row in rows], lost=lost(), others=others, complete=complete
    )


# Beside other submissions of ours without an answer


def test_a_task_that_may_be_that_of_another_lost_submission_is_not_adopted() -> None:
    assert match([OLD, NEW], lost("other")) == Ambiguous("the new task may be that of other as well", ("new",))


@pytest.mark.parametrize(
    "other",
    [lost("other", shots=99), lost("other", device="homebrew_s3"), lost("other", since=NOW + timedelta(hours=1))],
    ids=["by its shots", "by its device", "by its time"],
)
def test_another_lost_submission_that_cannot_be_the_task_does_not_matter(other: LostSubmission) -> None:
    assert match([OLD, NEW], other) == Adopted("new")


def test_the_tag_tells_whatever_else_is_lost() -> None:
    assert match([OLD, NEW | {"remarks": TAG}], lost("other")) == Adopted("new")


def test_without_a_new_task_none_was_accepted_whatever_else_is_lost() -> None:
    assert match([OLD], lost("other")) == NotAccepted()


# By tag


@pytest.mark.parametrize(
    "carrier",
    [
        {"remarks": TAG},
        {"remarks": f"for Alice {TAG}"},
        {"parameters": {"remarks": TAG}},
        {"parameters": json.dumps({"remarks": TAG, "shots": 100})},
        {"parameters": f"remarks={TAG}&prior=1"},
        {"note": [TAG]},
    ],
    ids=str,
)
@pytest.mark.parametrize("complete", [True, False])
def test_row_that_carries_the_tag_is_the_task(carrier: dict[str, Any], complete: bool) -> None:
    other = NEW | {"job_name": "other"}
    tagged = {"job_name": "mine", "device": "elsewhere", "created_at": TOO_LATE} | carrier
    assert match([OLD, other, tagged], complete=complete) == Adopted("mine")


def test_tag_is_found_in_remarks_made_for_it() -> None:
    for remarks in (None, "", "as agreed"):
        assert match([OLD, {"job_name": "mine", "remarks": with_tag(remarks, TAG)}]) == Adopted("mine")


@pytest.mark.parametrize("other", ["wit-1:01", "wit-1:0:1", "my-wit-1:0", "wit-11:0", "WIT-1:0"])
def test_longer_tag_is_another_tag(other: str) -> None:
    assert match([OLD, NEW | {"remarks": other}]) == NotAccepted()


def test_tag_on_several_new_tasks_is_for_the_operator() -> None:
    rows = [OLD, NEW | {"remarks": TAG}, NEW | {"job_name": "twin", "remarks": TAG}]
    assert match(rows) == Ambiguous("several tasks carry the tag", ("new", "twin"))


def test_tag_on_a_task_that_was_there_before_is_not_ours() -> None:
    assert match([OLD | {"remarks": TAG}]) == NotAccepted()


def test_tag_on_a_task_without_an_id_is_for_the_operator() -> None:
    assert isinstance(match([OLD, {"remarks": TAG}]), Ambiguous)


# By device, shots and time


def test_every_combination_of_what_is_known_about_the_one_new_task() -> None:
    devices = {"homebrew_s2?o=3": True, "homebrew_s2": True, "homebrew_s2?o=1": False, "other": False, None: None}
    shots = {100: True, 99: False, None: None, "100": None}
    times = {IN_TIME: True, TOO_EARLY: False, TOO_LATE: False, None: None, "": None, "yesterday": None}
    for (device, d), (number, s), (time, t) in product(devices.items(), shots.items(), times.items()):
        found = match([OLD, {"job_name": "new", "device": device, "shots": number, "created_at": time}])
        if False in (d, s, t):
            assert found == NotAccepted(), (device, number, time)
        elif d and (s or t):
            assert found == Adopted("new"), (device, number, time)
        else:
            assert isinstance(found, Ambiguous), (device, number, time)
            assert found.candidates == ("new",)


def test_no_new_task_was_not_accepted_only_if_the_list_is_complete() -> None:
    assert match([OLD]) == NotAccepted()
    assert match([], known=()) == NotAccepted()
    assert isinstance(match([OLD], complete=False), Ambiguous)


def test_list_in_which_a_known_task_is_missing_is_not_complete() -> None:
    assert isinstance(match([]), Ambiguous)
    assert isinstance(match([NEW]), Ambiguous)


def test_candidate_in_an_incomplete_list_is_for_the_operator() -> None:
    found = match([OLD, NEW], complete=False)
    assert found == Ambiguous("the list of tasks may be incomplete", ("new",))


def test_several_candidates_are_for_the_operator() -> None:
    found = match([OLD, NEW, NEW | {"job_name": "newer"}])
    assert found == Ambiguous("several new tasks may be the one", ("new", "newer"))


def test_known_tasks_of_ours_are_no_candidates() -> None:
    assert match([OLD, NEW, NEW | {"job_name": "newer"}], known=["old", "newer"]) == Adopted("new")


@pytest.mark.parametrize("as_text", [True, False])
def test_parameters_of_a_row_tell_shots_and_remarks(as_text: bool) -> None:
    def row(**parameters: object) -> dict[str, Any]:
        said = json.dumps(parameters) if as_text else parameters
        return {"job_name": "new", "device": "homebrew_s2", "parameters": said}

    assert match([OLD, row(shots=100)]) == Adopted("new")
    assert match([OLD, row(shots=99)]) == NotAccepted()
    assert match([OLD, row(shots=100, remarks="another-job:7")]) == NotAccepted()
    assert isinstance(match([OLD | {"parameters": {"remarks": "some-job:4"}}, row(shots=100)]), Ambiguous)


def test_row_listed_twice_is_one_task() -> None:
    assert match([OLD, NEW, NEW]) == Adopted("new")


def test_row_without_an_id_that_may_be_the_task_is_for_the_operator() -> None:
    nameless = {key: value for key, value in NEW.items() if key != "job_name"}
    assert isinstance(match([OLD, nameless]), Ambiguous)
    assert match([OLD, nameless | {"device": "other"}, NEW]) == Adopted("new")


def test_where_remarks_are_shown_a_task_without_the_tag_is_not_adopted() -> None:
    shown = OLD | {"remarks": "some-job:4"}
    assert isinstance(match([shown, NEW]), Ambiguous)
    assert match([shown, NEW | {"remarks": "some-job:5"}]) == NotAccepted()


@pytest.mark.parametrize("scale", [1, 1e3, 1e6])
def test_times_since_the_epoch_are_read_in_any_usual_unit(scale: float) -> None:
    row = {"job_name": "new", "device": "homebrew_s2", "created_at": int(NOW.timestamp() * scale)}
    assert match([OLD, row]) == Adopted("new")
    early = row | {"created_at": int((NOW.timestamp() - 3600) * scale)}
    assert match([OLD, early]) == NotAccepted()


def test_clocks_may_differ_by_minutes() -> None:
    for minutes in (-5, -1, 1, 5):
        assert match([OLD, NEW | {"created_at": (NOW + timedelta(minutes=minutes)).isoformat()}]) == Adopted("new")


def test_time_without_a_zone_decides_nothing() -> None:
    row = {"job_name": "new", "device": "homebrew_s2", "created_at": "2026-11-20 20:00:10"}
    assert isinstance(match([OLD, row]), Ambiguous)


def test_device_with_flags_nobody_knows_decides_nothing() -> None:
    row = {"job_name": "new", "created_at": IN_TIME}
    assert isinstance(match([OLD, row | {"device": "homebrew_s2?o=3&fast"}]), Ambiguous)
    assert match([OLD, row | {"device": "homebrew_s20?o=3&fast"}]) == NotAccepted()


# With the details of the candidates

BARE: dict[str, Any] = {"job_name": "new", "device": "homebrew_s2", "status": "completed", "parameters": ""}
SOURCE = "qreg q[3];\ncreg c[1];\nh q[0];\nmeasure q[0] -> c[0];"


def micros(seconds: float) -> int:
    return int((NOW.timestamp() + seconds) * 1e6)


DETAIL: dict[str, Any] = {
    "id": "new",
    "device": "homebrew_s2?o=3",
    "shots": 100,
    "qubits": 3,
    "state": "completed",
    "at": micros(9000),
    "ts": {"completed": micros(9000), "pending": micros(11), "scheduled": micros(12)},
}


async def find(
    rows: Sequence[dict[str, Any]], details: Mapping[str, dict[str, Any]], known: Sequence[str] = ("old",)
) -> Adopted | NotAccepted | Ambiguous:
    async def detail(name: str) -> TaskDetail:
        if name not in details:
            raise TyxonQRefused("there is no such task")
        if "odd" in details[name]:
            raise ProtocolError("that is not understood")
        return TaskDetail.model_validate({**details[name], "id": name})

    sent = replace(lost(), submission=replace(lost().submission, source=SOURCE))
    rows = [OLD, *rows]
    listed = [TaskRow.model_validate(row) for row in rows]
    return await find_lost_submission(known, listed, lost=sent, others=(), complete=True, detail=detail)


async def test_a_row_as_on_the_page_is_adopted_by_its_detail() -> None:
    assert await find([BARE], {"new": DETAIL}) == Adopted("new")


@pytest.mark.parametrize(
    "change",
    [
        {"device": "homebrew_s2?o=2"},
        {"shots": 99},
        {"qubits": 2},
        {"ts": {"scheduled": micros(-3600)}},
        {"ts": {"scheduled": micros(3600)}},
        {"ts": {}, "at": micros(-3600)},
    ],
    ids=str,
)
async def test_a_task_whose_detail_says_otherwise_is_not_the_one(change: dict[str, Any]) -> None:
    assert await find([BARE], {"new": DETAIL | change}) == NotAccepted()
    other = BARE | {"job_name": "other"}
    assert await find([other, BARE], {"other": DETAIL | change, "new": DETAIL}) == Adopted("new")


@pytest.mark.parametrize(
    "change",
    [
        {"ts": None, "at": micros(9000)},
        {"qubits": 13},
        {"qubits": 0},
        {"qubits": 2, "err": "syntax error in line 3", "state": "failed"},
        {"qubits": None},
        {"qubits": "3"},
        {"ts": {"completed": 1}},
    ],
    ids=str,
)
async def test_what_a_detail_does_not_say_rules_nothing_out(change: dict[str, Any]) -> None:
    assert await find([BARE], {"new": DETAIL | change}) == Adopted("new")
    two = await find([BARE, BARE | {"job_name": "other"}], {"new": DETAIL | change, "other": DETAIL})
    assert isinstance(two, Ambiguous)


async def test_a_candidate_whose_detail_is_not_understood_holds_nothing_up() -> None:
    theirs = BARE | {"job_name": "theirs", "device": "homebrew_s3"}
    assert await find([theirs, BARE], {"theirs": {"odd": True}, "new": DETAIL}) == Adopted("new")
    theirs = BARE | {"job_name": "theirs"}
    verdict = await find([theirs, BARE], {"theirs": {"odd": True}, "new": DETAIL})
    assert isinstance(verdict, Ambiguous)
    assert [each["id"] for each in verdict.described] == ["theirs", "new"]


async def test_a_gateways_page_in_place_of_a_detail_decides_nothing() -> None:
    async def detail(name: str) -> TaskDetail:
        raise NoAnswer("a page")

    rows = [TaskRow.model_validate(row) for row in (OLD, BARE)]
    with pytest.raises(Transient):
        await find_lost_submission(["old"], rows, lost=lost(), others=(), complete=True, detail=detail)


async def test_what_stays_ambiguous_is_described_for_the_operator() -> None:
    verdict = await find([BARE, BARE | {"job_name": "other"}], {"new": DETAIL})
    assert isinstance(verdict, Ambiguous)
    assert verdict.candidates == ("new", "other")
    new, other = verdict.described
    assert (new["id"], new["device"], new["shots"], new["qubits"]) == ("new", "homebrew_s2?o=3", "100", "3")
    assert new["accepted"] == "2026-11-20T12:00:12+00:00"
    assert other == {"id": "other", "device": "homebrew_s2", "state": "completed"}


@pytest.mark.parametrize(
    "row", [{"job_name": "a b"}, {"job_name": 5}, {"job_name": ""}, {"job_name": None}, {}, None, "row", 7, []], ids=str
)
async def test_a_row_that_makes_no_sense_does_not_matter_if_it_was_there_before(row: Any) -> None:
    before = TaskRow.model_validate(row).identity
    assert await find([row, BARE], {"new": DETAIL}, ("old", before)) == Adopted("new")
    assert await find([row], {}, ("old", before)) == NotAccepted()
    assert isinstance(await find([row], {}), Ambiguous)  # it came after, and nothing says that it is not ours
