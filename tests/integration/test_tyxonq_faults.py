"""Everything that can go wrong between us and TyxonQ's cloud: each job ends as it should, nothing is submitted twice
and nothing is lost. The sandbox counts what it accepts by the tag in the remarks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.errors import IllegalTransition
from metriq_gym.exporters.record import make_record
from metriq_gym.jobs import Failure, Job, JobState, TaskState
from metriq_gym.messages import JobResumeRequested
from metriq_gym.packing import unpack_counts
from metriq_gym.providers.tyxonq import client
from metriq_gym.service.lifecycle import announce, fail
from metriq_gym.store import Store
from services.dispatcher import submission
from services.dispatcher.patience import Patience
from services.poller import remote
from tests.sandbox.fixture import SandboxControl
from tests.support.inprocess import Pair, dispatcher_and_poller
from tests.support.jobs import watch
from tests.support.patience import PATIENCE

CIRCUITS = 12
"""Enough for the poller to ask for the list."""
CONFIG = {
    "benchmark_name": "Bernstein-Vazirani",
    "min_qubits": 5,
    "max_qubits": 5,
    "max_circuits": CIRCUITS,
    "shots": 50,
}
ELSEWHERE = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; creg c[1]; h q[0]; measure q[0] -> c[0];'
"""What somebody else runs with the same token."""
AS_LARGE = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[5]; creg c[1]; h q; measure q[0] -> c[0];'
"""The same on as many qubits as ours."""
TAGS = {f"j:{n}" for n in range(CIRCUITS)}


@pytest.fixture
def sandbox(tyxonq_sandbox: SandboxControl) -> SandboxControl:
    """A quick sandbox."""
    tyxonq_sandbox.set(pending_seconds=0.1, running_seconds=0.1, results="ideal")
    return tyxonq_sandbox


@pytest.fixture
async def pair(store: Store, sandbox: SandboxControl) -> AsyncIterator[Pair]:
    # As by default, looking for a lost submission must wait for longer than sending it may take to the impatient.
    async with dispatcher_and_poller(store, sandbox, settle_seconds=1.2) as pair:
        yield pair


def completed(job: Job) -> bool:
    return job.state is JobState.COMPLETED


def failed(job: Job) -> bool:
    return job.state is JobState.FAILED


def held(job: Job) -> bool:
    return job.held is not None


def accepted(sandbox: SandboxControl) -> dict[str, int]:
    """How often each tag was accepted."""
    return {remarks: len(ids) for remarks, ids in sandbox.submissions()["by_remarks"].items()}


def strike(sandbox: SandboxControl, fault: dict[str, Any], endpoint: str, **changes: Any) -> None:
    """Add a fault for one endpoint."""
    options = {**fault, **changes}
    sandbox.add_fault(options.pop("kind"), endpoint, **options)


async def run_to_its_counts(pair: Pair, sandbox: SandboxControl) -> None:
    """A job ends with the counts of each circuit, each submitted once."""
    await pair.request("j", CONFIG)
    await pair.until("j", completed)
    assert accepted(sandbox) == dict.fromkeys(TAGS, 1)
    for task in await pair.store.tasks.of_job("j"):
        assert task.state is TaskState.COMPLETED
        (counts,) = unpack_counts(task.counts)
        assert set(counts.values()) == {50}  # the secret, and nothing else


PASSING: dict[str, dict[str, Any]] = {
    "latency": {"kind": "latency", "seconds": 0.1},
    "429": {"kind": "rate_limited"},
    "429 with seconds": {"kind": "rate_limited", "retry_after": "1"},
    "429 with a date": {"kind": "rate_limited", "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"},
    "500": {"kind": "server_error", "status": 500},
    "503": {"kind": "server_error"},
    "502 but handled": {"kind": "server_error", "status": 502, "handled": True},
    "page with 502": {"kind": "html"},
    "page with 200": {"kind": "html", "status": 200},
    "page with 200 but handled": {"kind": "html", "status": 200, "handled": True},
    "redirect": {"kind": "redirect"},
    "truncated JSON": {"kind": "truncated_json"},
    "reset": {"kind": "reset"},
    "lost response": {"kind": "lost_response"},
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_what_passes_costs_time_only(pair: Pair, sandbox: SandboxControl, fault: dict[str, Any]) -> None:
    """Each endpoint is struck: the list by dispatcher and poller, submissions at the start and in the middle."""
    strikes = {"devices": [(0, 1)], "submit": [(3, 1)], "list": [(0, 1), (3, 1)], "detail": [(0, 4), (9, 2)]}
    for endpoint, places in strikes.items():
        for after, times in places:
            strike(sandbox, fault, endpoint, after=after, times=times)
    await run_to_its_counts(pair, sandbox)
    assert "redirected" not in sandbox.calls()


SLOW: dict[str, dict[str, Any]] = {
    "latency": {"kind": "latency", "seconds": 0.8},
    "slow body": {"kind": "slow_body", "seconds": 1.5},
}


@pytest.mark.parametrize("fault", SLOW.values(), ids=SLOW)
async def test_answers_beyond_patience_cost_time_only(
    pair: Pair, sandbox: SandboxControl, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    """To a client that is quickly out of patience: on a slow machine, with more than what is struck."""
    monkeypatch.setattr(client, "READ_SECONDS", 0.5)
    monkeypatch.setattr(client, "SUBMIT_SECONDS", 0.5)
    await test_what_passes_costs_time_only(pair, sandbox, fault)


class Stopped:
    """A clock that stands still until it is told what time it is; `asked` is for how long it was waited."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        await self._moved.wait()

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self._moved.set()


async def test_a_pause_that_the_service_asks_for_is_kept_between_submissions(
    pair: Pair, sandbox: SandboxControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Stopped()
    monkeypatch.setattr(submission, "Patience", lambda *_: Patience(clock.now, clock.sleep))
    sandbox.add_fault("rate_limited", "submit", retry_after="2", times=1)
    await pair.request("j", CONFIG)
    async with asyncio.timeout(PATIENCE):
        assert await clock.asked.get() == 2.0
    assert sandbox.calls()["submit"] == 1
    clock.advance(2.0)
    await pair.until("j", completed)
    assert clock.asked.empty()
    assert accepted(sandbox) == dict.fromkeys(TAGS, 1)


STATES: dict[str, dict[str, Any]] = {
    "unknown for a while": {"kind": "state", "state": "meditating", "times": 20},
    "on hold for a while": {"kind": "state", "state": "hold", "times": 20},
    "other words for completed": {"kind": "state", "state": "Finished", "after": 30},
    "backward now and then": {"kind": "stale_state", "every": 2, "times": 30},
    "delayed": {"kind": "stale_state", "seconds": 0.5},
    "missing now and then": {"kind": "no_task", "every": 3},
}


@pytest.mark.parametrize("fault", STATES.values(), ids=STATES)
async def test_strange_states_cost_time_only(pair: Pair, sandbox: SandboxControl, fault: dict[str, Any]) -> None:
    strike(sandbox, fault, "detail")
    strike(sandbox, fault, "list")
    await run_to_its_counts(pair, sandbox)


async def test_a_list_that_never_shows_an_end_costs_time_only(
    pair: Pair, sandbox: SandboxControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "CHECK_EVERY", 3)
    sandbox.add_fault("state", "list", state="running")
    await run_to_its_counts(pair, sandbox)


VARIANTS: dict[str, dict[str, Any]] = {
    "success always": {"success_field": "always"},
    "success never": {"success_field": "never"},
    "more fields": {"extra_fields": True},
    "localised status": {"status_word": "任务已提交"},
    "counts under counts": {"result_shape": "counts"},
    "clocks that disagree": {"clock_skew_seconds": 40},
    "remarks in parameters": {"echo_remarks": "parameters"},
    "remarks in a field": {"echo_remarks": "field"},
    "nothing undocumented accepted": {
        "accept_missing_creg": False,
        "accept_unlisted_gates": False,
        "circuit_checked": "submit",
    },
    "list of a few": {"list_limit": 2},
    "list in pages": {"list_limit": 2, "list_paged": True},
    "list that lags behind": {"list_delay_seconds": 0.5},
}


@pytest.mark.parametrize("switches", VARIANTS.values(), ids=VARIANTS)
async def test_every_variant_of_the_service_is_understood(
    pair: Pair, sandbox: SandboxControl, switches: dict[str, Any]
) -> None:
    sandbox.set(**switches)
    if "list_limit" not in switches:
        sandbox.add_fault("lost_response", "submit", after=3, times=1)
    await run_to_its_counts(pair, sandbox)


# Lost submissions that cannot be told apart


@pytest.mark.parametrize("echo", ["parameters", "field"])
async def test_echoed_remarks_find_a_lost_submission_in_a_list_that_is_not_complete(
    pair: Pair, sandbox: SandboxControl, echo: str
) -> None:
    sandbox.set(echo_remarks=echo, list_limit=3)
    sandbox.add_fault("lost_response", "submit", after=5, times=1)
    await run_to_its_counts(pair, sandbox)


@pytest.mark.parametrize("paged", [True, False], ids=["says so", "lacks what was there before"])
async def test_without_remarks_in_an_incomplete_list_the_job_waits_for_the_operator(
    pair: Pair, sandbox: SandboxControl, paged: bool
) -> None:
    sandbox.add_tasks(3, device="homebrew_s2", source=ELSEWHERE)
    sandbox.set(list_limit=3, list_paged=paged)
    sandbox.add_fault("lost_response", "submit", after=5, times=1)
    await pair.request("j", CONFIG)
    job = await pair.until("j", held)
    assert job.state is JobState.DISPATCHING
    assert job.held is not None
    assert "j:5" in job.held
    assert accepted(sandbox) == dict.fromkeys(TAGS, 1)  # the others went on
    states = [task.state for task in await pair.store.tasks.of_job("j")]
    assert states.count(TaskState.UNKNOWN) == 1


async def test_when_somebody_else_submits_the_same_meanwhile_the_job_waits_for_the_operator(
    pair: Pair, sandbox: SandboxControl
) -> None:
    sandbox.add_fault("lost_response", "submit", after=2, times=1)
    await pair.request("j", CONFIG)
    async with asyncio.timeout(PATIENCE):
        while sandbox.faults()[0]["hits"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (other,) = sandbox.add_tasks(1, device="homebrew_s2?o=3", shots=50, source=AS_LARGE)
    job = await pair.until("j", held)
    assert job.held is not None
    assert "j:2" in job.held
    assert other in job.held
    assert accepted(sandbox) == dict.fromkeys(TAGS, 1)
    (task,) = [task for task in await pair.store.tasks.of_job("j") if task.state is TaskState.UNKNOWN]
    assert {each["id"] for each in task.candidates} > {other}
    for each in task.candidates:
        assert each["device"] == "homebrew_s2?o=3"
        assert (each["shots"], each["qubits"]) == ("50", "5")
        assert each["accepted"].startswith("20")


@pytest.mark.parametrize("times", ["iso", "naive", "empty"])
@pytest.mark.parametrize(
    "other",
    [
        {"device": "homebrew_s2?o=3", "shots": 50, "source": ELSEWHERE},
        {"device": "homebrew_s2?o=3", "shots": 51, "source": AS_LARGE},
        {"device": "homebrew_s2?o=2", "shots": 50, "source": AS_LARGE},
        None,
    ],
    ids=["fewer qubits", "other shots", "other flags", "nobody else"],
)
async def test_what_the_list_leaves_open_the_details_tell(
    pair: Pair, sandbox: SandboxControl, other: dict[str, Any] | None, times: str
) -> None:
    """The list is as on the page: no remarks, no shots, perhaps no times."""
    sandbox.set(list_times=times)
    sandbox.add_fault("lost_response", "submit", after=2, times=1)
    await pair.request("j", CONFIG)
    async with asyncio.timeout(PATIENCE):
        while sandbox.faults()[0]["hits"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    if other:
        sandbox.add_tasks(1, **other)
    await pair.until("j", completed)
    assert {tag: number for tag, number in accepted(sandbox).items() if tag in TAGS} == dict.fromkeys(TAGS, 1)


SWITCHES: dict[str, dict[str, Any]] = {
    "rows of a stranger": {"stranger_rows": True, "list_times": "empty"},
    "devices of a stranger": {"stranger_devices": True},
}


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
async def test_what_a_stranger_leaves_in_the_lists_does_no_harm(
    pair: Pair, sandbox: SandboxControl, switches: dict[str, Any]
) -> None:
    sandbox.set(**switches)
    sandbox.add_fault("lost_response", "submit", after=3, times=1)
    await run_to_its_counts(pair, sandbox)


@pytest.mark.parametrize("kind", ["reset", "lost_response"], ids=["before acceptance", "after acceptance"])
async def test_a_connection_that_is_aborted_in_the_middle_of_submissions_costs_time_only(
    pair: Pair, sandbox: SandboxControl, kind: str
) -> None:
    sandbox.add_fault(kind, "submit", after=2, every=3, times=2)
    await run_to_its_counts(pair, sandbox)
    assert [rule["hits"] for rule in sandbox.faults()] == [2]


async def test_a_service_that_answers_few_requests_a_second_costs_time_only(
    pair: Pair, sandbox: SandboxControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MAX_UNCLEAR", 3)
    sandbox.set(per_second=4)
    await run_to_its_counts(pair, sandbox)


async def test_an_accepted_submission_without_an_id_is_found(pair: Pair, sandbox: SandboxControl) -> None:
    sandbox.add_fault("no_id", "submit", after=4, times=2)
    await run_to_its_counts(pair, sandbox)


# What does not pass


@pytest.mark.parametrize("shape", ["documented", "error", "detail", "detail_list", "err"])
@pytest.mark.parametrize("status", [None, 422])
async def test_a_refused_submission_ends_the_job_with_the_reason(
    pair: Pair, sandbox: SandboxControl, shape: str, status: int | None
) -> None:
    sandbox.set(error_shape=shape, error_status=status)
    sandbox.add_fault("refused", "submit", after=2, message="you are out of credit")
    await pair.request("j", CONFIG)
    job = await pair.until("j", failed)
    assert job.failure is not None
    assert job.failure.outcome == "error"
    assert "you are out of credit" in job.failure.reason
    assert accepted(sandbox) == {"j:0": 1, "j:1": 1}


@pytest.mark.parametrize("fault", [{"kind": "refused", "status": 401}, {"kind": "html", "status": 403}], ids=str)
@pytest.mark.parametrize("after", [0, 5])
async def test_a_credential_that_is_refused_for_a_while_costs_time_only(
    pair: Pair, sandbox: SandboxControl, fault: dict[str, Any], after: int
) -> None:
    for endpoint in ("submit", "devices", "list", "detail"):
        strike(sandbox, fault, endpoint, after=after if endpoint in ("submit", "detail") else 0, times=2)
    await run_to_its_counts(pair, sandbox)
    assert await pair.store.parked.all() == []


async def test_work_whose_token_expires_is_parked_and_goes_on_with_a_new_token_in_its_file(
    store: Store, sandbox: SandboxControl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(sandbox.token)
    monkeypatch.setenv("METRIQ_TYXONQ_TOKEN_FILE", str(file))
    async with dispatcher_and_poller(store, sandbox, settle_seconds=1.2) as pair:
        sandbox.add_fault("rate_limited", "submit", after=5, times=3, retry_after="1")
        await pair.request("j", CONFIG)
        async with asyncio.timeout(PATIENCE):
            while sandbox.submissions()["total"] < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            sandbox.set(valid_token="a-new-token")
            while not (parked := await store.parked.all()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [each.provider for each in parked] == ["tyxonq"]
        assert "401" in parked[0].reason
        file.write_text("a-new-token\n")
        await pair.until("j", completed)
        assert accepted(sandbox) == dict.fromkeys(TAGS, 1)
        async with asyncio.timeout(PATIENCE):
            while await store.parked.all():  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("status", [404, 409, 425])
async def test_a_submission_that_may_be_sent_again_is(pair: Pair, sandbox: SandboxControl, status: int) -> None:
    sandbox.add_fault("refused", "submit", after=4, times=1, status=status)
    sandbox.add_fault("html", "submit", after=7, times=1, status=status)
    await run_to_its_counts(pair, sandbox)


async def test_a_token_that_is_refused_for_a_while_costs_no_task_that_was_paid_for(
    pair: Pair, sandbox: SandboxControl
) -> None:
    sandbox.add_fault("refused", "detail", status=401, times=3)
    sandbox.add_fault("refused", "list", status=403, after=1, times=1)
    await run_to_its_counts(pair, sandbox)


async def test_a_failed_task_ends_the_job_with_the_providers_reason(pair: Pair, sandbox: SandboxControl) -> None:
    sandbox.add_fault("task_fails", "submit", after=7, times=1, message="qubit 3 is on fire")
    await pair.request("j", CONFIG)
    job = await pair.until("j", failed)
    assert job.failure is not None
    assert "qubit 3 is on fire" in job.failure.reason
    assert accepted(sandbox) == dict.fromkeys(TAGS, 1)


@pytest.mark.parametrize(
    ("switches", "fault", "reason"),
    [
        ({}, {"kind": "state", "state": "meditating"}, "meditating"),
        ({"result_shape": "null"}, None, "has no counts"),
        ({}, {"kind": "no_task"}, "not understood"),
        ({}, {"kind": "refused", "message": "never heard of it", "status": 404}, "never heard of it"),
    ],
    ids=["unknown state", "no counts", "no task", "unknown task"],
)
async def test_what_is_never_understood_is_given_up_loudly(
    pair: Pair,
    sandbox: SandboxControl,
    switches: dict[str, Any],
    fault: dict[str, Any] | None,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "MAX_UNCLEAR", 4)
    sandbox.set(**switches)
    if fault:
        strike(sandbox, fault, "detail")
    await pair.request("j", CONFIG)
    job = await pair.until("j", failed)
    assert job.failure is not None
    assert job.failure.source == "poll"
    assert "given up after 4 answers" in job.failure.reason
    assert reason in job.failure.reason


async def test_a_device_that_is_out_of_use_is_refused_unless_forced(pair: Pair, sandbox: SandboxControl) -> None:
    sandbox.set(device_state="maintenance")
    await pair.request("refused", CONFIG)
    job = await pair.until("refused", lambda job: job.state is JobState.REJECTED)
    assert job.failure is not None
    assert "maintenance" in job.failure.reason
    assert "--force" in job.failure.reason
    assert accepted(sandbox) == {}
    await pair.request("j", CONFIG, force=True)
    await pair.until("j", completed)
    assert accepted(sandbox) == dict.fromkeys(TAGS, 1)


async def test_counts_of_fewer_shots_than_asked_for_are_noted(pair: Pair, sandbox: SandboxControl) -> None:
    sandbox.set(shots_left_out=3)
    await pair.request("j", CONFIG | {"max_circuits": 2})
    job = await pair.until("j", completed)
    assert accepted(sandbox) == {"j:0": 1, "j:1": 1}
    assert [(each.shots, each.counted) for each in job.short_counts] == [(50, 47), (50, 47)]
    assert job.warnings[-1] == {
        "path": "$.config.shots",
        "message": "6 of 100 shots are missing from the counts of 2 of 2 tasks",
    }
    recorded = job.model_copy(update={"result": {"score": {"value": 1.0}}})
    assert make_record(recorded)["circuit_metadata"]["short_counts"] == [
        {"run": 0, "first": n, "shots": 50, "counted": 47} for n in range(2)
    ]


async def until_after_resuming(pair: Pair) -> Job:
    """Return the job once it has counts, although it had ended."""
    return [job async for job in watch(pair.store, "j", until=completed)][-1]


@pytest.mark.parametrize("ended", ["while it was submitted", "while it was polled"])
async def test_a_job_that_failed_goes_on_where_it_stopped(pair: Pair, sandbox: SandboxControl, ended: str) -> None:
    if ended == "while it was submitted":
        sandbox.add_fault("refused", "submit", after=5, times=1, message="shots are out of fashion")
    else:
        sandbox.add_fault("state", "detail", state="cancelled", times=1)
    await pair.request("j", CONFIG)
    job = await pair.until("j", failed)
    paid = sandbox.submissions()["total"]
    assert paid == (5 if ended == "while it was submitted" else CIRCUITS)
    await pair.bus.publish(JobResumeRequested(job_id="j", resumed=0))
    job = await until_after_resuming(pair)
    assert job.resumed == 1
    assert job.failure is None
    assert [line.state for line in job.history].count(JobState.FAILED) == 1
    assert accepted(sandbox) == dict.fromkeys(TAGS, 1)
    assert {task.state for task in await pair.store.tasks.of_job("j")} == {TaskState.COMPLETED}
    with pytest.raises(IllegalTransition):  # the same message once more
        await pair.store.jobs.resume("j", "resumed", token=0, deadline_seconds=60, resumed=0)


async def test_what_may_have_been_accepted_is_looked_for_before_a_resumed_job_submits(
    pair: Pair, sandbox: SandboxControl
) -> None:
    """The answer to a submission is lost, and before it is found the job ends for another reason."""
    sandbox.add_fault("lost_response", "submit", after=3, times=1)
    await pair.request("j", CONFIG)
    async with asyncio.timeout(PATIENCE):
        while not sandbox.faults() or sandbox.faults()[0]["hits"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    failure = Failure(outcome="error", reason="no result by its deadline", source="dispatch")
    await fail(pair.store, "j", failure, service="reconciler")
    await announce(pair.store, pair.bus, await pair.store.jobs.get("j"))
    await pair.bus.publish(JobResumeRequested(job_id="j"))
    await until_after_resuming(pair)
    assert accepted(sandbox) == dict.fromkeys(TAGS, 1)


async def test_a_dry_run_is_checked_whatever_goes_wrong_on_the_way(pair: Pair, sandbox: SandboxControl) -> None:
    """Each circuit is compiled once; there is nothing to score and nothing to export."""
    sandbox.add_fault("lost_response", "submit", after=1, times=1)
    sandbox.add_fault("rate_limited", "submit", after=3, times=1)
    sandbox.add_fault("server_error", "detail", after=2, times=1)
    await pair.request("j", {**CONFIG, "max_circuits": 3}, device="homebrew_s2?o=3&dry")
    job = await pair.until("j", lambda job: job.has_ended)
    assert (job.state, job.failure, job.result, job.exports) == (JobState.CHECKED, None, None, {})
    assert [each.first for each in job.checked] == [0, 1, 2]
    for each in job.checked:
        assert each.said["qubits"] == 5
        assert each.said["depth"] > 0
        assert each.said["device"] == "homebrew_s2?o=3&dry"
    assert accepted(sandbox) == {f"j:{n}": 1 for n in range(3)}


async def test_a_dry_run_that_fails_is_nothing_to_record(pair: Pair, sandbox: SandboxControl) -> None:
    sandbox.add_fault("task_fails", "submit", message="syntax error in line 4")
    await pair.request("j", {**CONFIG, "max_circuits": 1}, device="homebrew_s2?o=3&dry")
    job = await pair.until("j", failed)
    assert job.failure is not None
    assert "syntax error in line 4" in job.failure.reason
    assert await pair.store.upkeep.unrecorded(0) == []


async def test_a_circuit_that_is_refused_late_ends_the_job(pair: Pair, sandbox: SandboxControl) -> None:
    sandbox.set(accept_unlisted_gates=False, circuit_checked="late")
    sandbox.add_fault("task_fails", "submit", message="syntax error in line 4")
    await pair.request("j", CONFIG)
    job = await pair.until("j", failed)
    assert job.failure is not None
    assert "syntax error in line 4" in job.failure.reason
    assert set(accepted(sandbox).values()) == {1}


async def test_a_cancelled_job_is_asked_about_no_more(pair: Pair, sandbox: SandboxControl) -> None:
    from metriq_gym.messages import JobCancelRequested

    sandbox.set(running_seconds=600)
    await pair.request("j", CONFIG)
    await pair.until("j", lambda job: job.state is JobState.DISPATCHED)
    await pair.bus.publish(JobCancelRequested(job_id="j"))
    async with asyncio.timeout(PATIENCE):
        while {task.state for task in await pair.store.tasks.of_job("j")} != {TaskState.CANCELLED}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    calls = None
    async with asyncio.timeout(PATIENCE):
        while calls != (calls := sandbox.calls()):  # noqa: ASYNC110  (a question under way may arrive)
            await asyncio.sleep(0.7)
