"""What a provider has to keep so that jobs on it run once and score as they should: tests that its author runs.

Subclass `LocalContract` or `RemoteContract` as ``class TestMine(…)``: pytest runs it, or any runner of ``test_`` names.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Any, Protocol

from metriq_gym.errors import FailureClass, MetriqGymError, NotFound, SubmissionAmbiguous, Unsupported, classify
from metriq_gym.packing import pack_circuits, unpack_counts
from metriq_gym.providers.provider import (
    Adopted,
    Ambiguous,
    CancellingProvider,
    CredentialTrouble,
    Ended,
    Finished,
    LocalProvider,
    LostSubmission,
    NotAccepted,
    Progress,
    Provider,
    RemoteProvider,
    Submission,
    Waiting,
)

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

PATIENCE = 120.0
"""Seconds after which what should happen is taken for a hang."""
SHOTS = 60
RETRY_AFTER = 60.0
"""Seconds of patience that a service asks for with `Fault.BUSY`."""


class Fault(StrEnum):
    """What a service can be told to do to the calls that follow."""

    LOST_ANSWER = auto()
    """Submissions are accepted, and the connection ends without an answer."""
    SLOW_ANSWER = auto()
    """Submissions are accepted, and the answer does not come within seconds."""
    BUSY = auto()
    """Nothing is done; each call is asked for `RETRY_AFTER` seconds of patience (HTTP 429)."""
    DOWN = auto()
    """Nothing is done; each call is answered that the service is not available (HTTP 503)."""
    CREDENTIAL = auto()
    """Nothing is done; the credential is not accepted (HTTP 401)."""
    REFUSED = auto()
    """Submissions are refused as wrong (HTTP 400)."""
    TASK_FAILS = auto()
    """Submissions are accepted, and their tasks will fail."""
    ODD_STATE = auto()
    """Tasks show a state that is in no documentation."""


class Cloud(Protocol):
    """A service for the provider to talk to in tests, best over real HTTP, which is told how to behave.

    Its tasks wait until `finish` is called.
    """

    @property
    def device(self) -> str:
        """A device of three qubits or more, without noise, as a request names it."""

    def provider(self) -> RemoteProvider:
        """Return a new provider that talks to the service; the contract closes it."""

    def accepted(self) -> Collection[str]:
        """Return the tag of each submission that was accepted, as often as it was."""

    def strike(self, fault: Fault) -> None:
        """Do that to the calls that follow, until it is healed.

        Parameters
        ----------
        fault
            How it is to misbehave.
        """

    def heal(self) -> None:
        """Answer as one should again."""

    def finish(self) -> None:
        """Let the tasks that were accepted come to their end."""


class ProviderContract:
    """What both kinds of provider keep."""

    def test_circuits_are_compiled_one_for_one_in_another_process_too(self) -> None:
        async def check(provider: Provider, device: str) -> None:
            circuits = [each for each, _ in known()]
            compiler = pickle.loads(pickle.dumps(provider.compiler))  # noqa: S301
            described = pickle.loads(pickle.dumps(await provider.device(device)))  # noqa: S301
            compiled = compiler(described, circuits, 1)
            assert len(compiled) == len(circuits)
            assert [each.num_clbits for each in compiled] == [each.num_clbits for each in circuits]
            assert pack_circuits(compiler(described, circuits, 1)) == pack_circuits(compiled), "a pure function"

        self.check(check)

    def test_devices_are_listed_and_told_of_by_name(self) -> None:
        async def check(provider: Provider, device: str) -> None:
            assert provider.name
            assert provider.max_circuits_per_task >= 1
            devices = await provider.devices()
            assert devices, "there is no device"
            assert all(each.provider == provider.name and each.num_qubits >= 1 for each in devices)
            assert (await provider.device(device)).id in {each.id for each in devices}

        self.check(check)

    def test_an_unknown_device_is_not_found(self) -> None:
        async def check(provider: Provider, device: str) -> None:
            await refused(provider.device("no_such_device"), NotFound)

        self.check(check)

    def check(self, checked: Callable[[Any, str], Awaitable[None]]) -> None:
        """Run a check of a provider and the name of its device.

        Parameters
        ----------
        checked
            The check, given a provider and the name of its device.
        """
        raise NotImplementedError


class LocalContract(ProviderContract):
    """What a provider keeps whose tasks pollers run: name a `device` of three qubits without noise, and make one."""

    device: str

    def provider(self) -> LocalProvider:
        """Return a new provider."""
        raise NotImplementedError

    def check(self, checked: Callable[[Any, str], Awaitable[None]]) -> None:
        asyncio.run(within(checked(self.provider(), self.device)))

    def test_it_fits_the_port(self) -> None:
        assert isinstance(self.provider(), LocalProvider)

    def test_counts_are_in_qiskits_order_and_the_same_for_the_same_seed(self) -> None:
        async def check(provider: LocalProvider, device: str) -> None:
            circuits = provider.compiler(await provider.device(device), [each for each, _ in known()], 1)
            simulation = pickle.loads(pickle.dumps(provider.simulation))  # noqa: S301
            executions = [simulation(device, circuits, SHOTS, 7) for _ in range(2)]
            for execution in executions:
                assert [dict(each) for each in execution.counts] == [{key: SHOTS} for _, key in known()]
                assert execution.seconds >= 0

        self.check(check)


@dataclass
class Caller:
    """Submits as a dispatcher does, and asks as a poller does."""

    provider: RemoteProvider
    device: str
    sources: dict[str, bytes] = field(default_factory=dict)
    """Packed circuits, by tag."""

    async def submission(self, tag: str, circuits: Sequence[QuantumCircuit] | None = None) -> Submission:
        """Return what would be sent for circuits, by default one of those whose counts are known.

        Parameters
        ----------
        tag
            Stands in no other submission.
        circuits
            What to run; for three qubits at most.
        """
        given = circuits or [known()[0][0]]
        compiled = self.provider.compiler(await self.provider.device(self.device), given, 1)
        self.sources[tag] = pack_circuits(compiled)
        return Submission(self.device, self.provider.encoder(self.sources[tag]), SHOTS, tag)

    async def progress(self, task_id: str) -> Progress | None:
        """Return how a task is doing; None where nothing is said.

        Parameters
        ----------
        task_id
            The provider's id.
        """
        return (await self.provider.progress({task_id: SHOTS}, 30.0)).get(task_id)

    async def ended(self, task_id: str) -> Progress:
        """Ask until a task has ended.

        Parameters
        ----------
        task_id
            The provider's id.
        """
        while isinstance(said := await self.progress(task_id), Waiting) or said is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return said

    async def counts(self, task_id: str, tag: str) -> list[dict[str, int]]:
        """Return a task's counts in Qiskit's order once it has ended.

        Parameters
        ----------
        task_id
            The provider's id.
        tag
            The tag it was submitted with.
        """
        said = await self.ended(task_id)
        assert isinstance(said, Finished), said
        decoder = pickle.loads(pickle.dumps(self.provider.decoder))  # noqa: S301
        return unpack_counts(decoder(self.sources[tag], said.counts))

    async def lose(self, submission: Submission) -> LostSubmission:
        """Submit, of which nothing is heard.

        Parameters
        ----------
        submission
            One whose answer the cloud withholds.
        """
        before = datetime.now(UTC)
        error = await refused(self.provider.submit(submission), MetriqGymError)
        assert isinstance(error, SubmissionAmbiguous), f"it may have been accepted, and {error!r} says that it was not"
        return LostSubmission(submission, (before, datetime.now(UTC)))

    async def match(
        self, lost: LostSubmission, known_ids: Collection[str], *others: LostSubmission
    ) -> Adopted | NotAccepted | Ambiguous:
        """Look for a lost submission among what is listed now.

        Parameters
        ----------
        lost
            The submission in question.
        known_ids
            Ids that belong to other submissions.
        *others
            Those whose answers were lost too.
        """
        return await self.provider.match(await self.provider.listing(), known_ids, lost, others)


class RemoteContract(ProviderContract):
    """What a provider keeps that is sent submissions and asked for results: make a `cloud` for it to talk to."""

    def cloud(self) -> AbstractContextManager[Cloud]:
        """Return a new service, which ends with the context."""
        raise NotImplementedError

    def check(self, checked: Callable[[Any, str], Awaitable[None]]) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            await checked(caller.provider, cloud.device)

        self.run(check)

    def run(self, checked: Callable[[Caller, Cloud], Awaitable[None]]) -> None:
        """Run a check of a provider and the service it talks to.

        Parameters
        ----------
        checked
            The check, given a caller of the provider and the service.
        """

        async def check(cloud: Cloud) -> None:
            async with calling(cloud) as caller:
                await checked(caller, cloud)

        with self.cloud() as cloud:
            asyncio.run(within(check(cloud)))

    def test_it_fits_the_port(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            assert isinstance(caller.provider, RemoteProvider)
            assert caller.provider.trouble is None

        self.run(check)

    def test_a_circuit_that_is_too_wide_is_unsupported(self) -> None:
        from qiskit import QuantumCircuit

        async def check(provider: Provider, device: str) -> None:
            described = await provider.device(device)
            wide = QuantumCircuit(described.num_qubits + 1)
            wide.h(range(described.num_qubits + 1))
            wide.measure_all()
            try:
                provider.compiler(described, [wide], 1)
            except Unsupported:
                return
            raise AssertionError("it was compiled")

        self.check(check)

    def test_counts_are_in_qiskits_order(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            ids = {}
            for n, batch in enumerate(batches(known(), caller.provider.max_circuits_per_task)):
                submission = await caller.submission(f"tag:{n}", [each for each, _ in batch])
                ids[f"tag:{n}"] = await caller.provider.submit(submission)
            cloud.finish()
            found = [each for tag, task_id in ids.items() for each in await caller.counts(task_id, tag)]
            assert found == [{key: SHOTS} for _, key in known()]

        self.run(check)

    def test_tasks_wait_are_listed_and_end(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            ids = {tag: await caller.provider.submit(await caller.submission(tag)) for tag in ("tag:0", "tag:1")}
            assert len(set(ids.values())) == len(ids), "an id for each"
            assert sorted(cloud.accepted()) == ["tag:0", "tag:1"]
            assert (await caller.provider.listing()).ids >= set(ids.values())
            for task_id in ids.values():
                assert isinstance(await caller.progress(task_id), Waiting)
            overview = await caller.provider.overview()
            assert not overview.ended & set(ids.values())
            cloud.finish()
            for task_id in ids.values():
                assert isinstance(await caller.ended(task_id), Finished)
            overview = await caller.provider.overview()
            assert not overview.waiting & set(ids.values())

        self.run(check)

    def test_a_task_that_failed_has_ended_with_a_reason(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            cloud.strike(Fault.TASK_FAILS)
            task_id = await caller.provider.submit(await caller.submission("tag:0"))
            cloud.finish()
            said = await caller.ended(task_id)
            assert isinstance(said, Ended), said
            assert said.error.strip()

        self.run(check)

    def test_a_task_that_is_cancelled_ends_where_the_provider_offers_that(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            ids = [await caller.provider.submit(await caller.submission(f"tag:{n}")) for n in range(2)]
            if isinstance(caller.provider, CancellingProvider):
                await caller.provider.cancel(ids[0])
                assert isinstance(said := await caller.ended(ids[0]), Ended), said
                with suppress(MetriqGymError):  # there is nothing more to cancel
                    await caller.provider.cancel(ids[0])
            cloud.finish()
            assert isinstance(said := await caller.ended(ids[1]), Finished), said

        self.run(check)

    def test_a_state_that_is_not_understood_is_neither_success_nor_failure(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            task_id = await caller.provider.submit(await caller.submission("tag:0"))
            cloud.strike(Fault.ODD_STATE)
            assert not isinstance(said := await caller.progress(task_id), Finished | Ended), said
            cloud.heal()
            cloud.finish()
            assert await caller.counts(task_id, "tag:0") == [{known()[0][1]: SHOTS}]

        self.run(check)

    def test_a_submission_whose_answer_is_lost_is_sent_once_and_found(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            known_id = await caller.provider.submit(await caller.submission("tag:known"))
            submission = await caller.submission("tag:lost")
            cloud.strike(Fault.LOST_ANSWER)
            lost = await caller.lose(submission)
            cloud.heal()
            assert Counter(cloud.accepted()) == {"tag:known": 1, "tag:lost": 1}
            async with calling(cloud) as another:  # the process that sent it may be gone
                verdict = await another.match(lost, {known_id})
                assert isinstance(verdict, Adopted), verdict
                assert verdict.provider_job_id != known_id
                cloud.finish()
                another.sources = caller.sources
                assert await another.counts(verdict.provider_job_id, "tag:lost") == [{known()[0][1]: SHOTS}]
            assert Counter(cloud.accepted())["tag:lost"] == 1

        self.run(check)

    def test_of_several_lost_submissions_none_gets_anothers_task(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            submissions = [await caller.submission(f"tag:{n}", [each]) for n, (each, _) in enumerate(known()[:2])]
            cloud.strike(Fault.LOST_ANSWER)
            first, second = [await caller.lose(each) for each in submissions]
            cloud.heal()
            verdicts = [await caller.match(first, (), second), await caller.match(second, (), first)]
            assert not any(isinstance(each, NotAccepted) for each in verdicts), "both were accepted"
            cloud.finish()
            for n, verdict in enumerate(verdicts):
                if isinstance(verdict, Adopted):
                    assert await caller.counts(verdict.provider_job_id, f"tag:{n}") == [{known()[n][1]: SHOTS}]

        self.run(check)

    def test_what_was_never_sent_is_not_found(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            known_id = await caller.provider.submit(await caller.submission("tag:known"))
            never = LostSubmission(await caller.submission("tag:never"), (datetime.now(UTC), datetime.now(UTC)))
            assert isinstance(await caller.match(never, {known_id}), NotAccepted)

        self.run(check)

    def test_a_submission_that_is_cancelled_is_sent_once_and_found(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            submission = await caller.submission("tag:0")
            cloud.strike(Fault.SLOW_ANSWER)
            before = datetime.now(UTC)
            sending = asyncio.create_task(caller.provider.submit(submission))
            while not cloud.accepted() and not sending.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            sending.cancel()
            (outcome,) = await asyncio.gather(sending, return_exceptions=True)
            assert isinstance(outcome, asyncio.CancelledError), f"it went on: {outcome!r}"
            cloud.heal()
            lost = LostSubmission(submission, (before, datetime.now(UTC)))
            async with calling(cloud) as another:
                assert isinstance(await another.match(lost, ()), Adopted)
            assert list(cloud.accepted()) == ["tag:0"]

        self.run(check)

    def test_a_service_that_is_busy_is_left_alone_for_as_long_as_it_asks(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            task_id = await caller.provider.submit(await caller.submission("tag:0"))
            submission = await caller.submission("tag:1")
            cloud.strike(Fault.BUSY)
            error = await refused(caller.provider.submit(submission), MetriqGymError)
            assert classify(error) is FailureClass.TRANSIENT, error
            assert getattr(error, "retry_after", None) == RETRY_AFTER
            async with calling(cloud) as another:
                assert not isinstance(said := await another.progress(task_id), Finished | Ended), said
            assert list(cloud.accepted()) == ["tag:0"]
            cloud.heal()
            async with calling(cloud) as another:
                await another.provider.submit(submission)
            assert sorted(cloud.accepted()) == ["tag:0", "tag:1"]

        self.run(check)

    def test_a_service_that_is_down_ends_no_task_and_no_submission(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            task_id = await caller.provider.submit(await caller.submission("tag:0"))
            submission = await caller.submission("tag:1")
            before = datetime.now(UTC)
            cloud.strike(Fault.DOWN)
            error = await refused(caller.provider.submit(submission), MetriqGymError)
            assert isinstance(error, SubmissionAmbiguous) or classify(error) is FailureClass.TRANSIENT, error
            assert not isinstance(said := await caller.progress(task_id), Finished | Ended), said
            unread = await refused(caller.provider.listing(), MetriqGymError)
            assert classify(unread) is FailureClass.TRANSIENT, unread
            cloud.heal()
            async with calling(cloud) as another:
                lost = LostSubmission(submission, (before, datetime.now(UTC)))
                assert isinstance(await another.match(lost, {task_id}), NotAccepted)

        self.run(check)

    def test_a_credential_that_is_not_accepted_parks_the_work(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            submission = await caller.submission("tag:0")
            cloud.strike(Fault.CREDENTIAL)
            await refused(caller.provider.submit(submission), CredentialTrouble)
            assert caller.provider.trouble is not None
            assert caller.provider.trouble.reason
            await refused(caller.provider.listing(), CredentialTrouble)
            assert not cloud.accepted()

        self.run(check)

    def test_a_submission_that_is_refused_is_not_tried_again(self) -> None:
        async def check(caller: Caller, cloud: Cloud) -> None:
            submission = await caller.submission("tag:0")
            cloud.strike(Fault.REFUSED)
            error = await refused(caller.provider.submit(submission), MetriqGymError)
            assert classify(error) is FailureClass.PERMANENT, error
            assert not cloud.accepted()

        self.run(check)


@asynccontextmanager
async def calling(cloud: Cloud) -> AsyncIterator[Caller]:
    """Call a service by a new provider, which is closed after.

    Parameters
    ----------
    cloud
        The service.
    """
    provider = cloud.provider()
    try:
        yield Caller(provider, cloud.device)
    finally:
        await provider.aclose()


async def within(checked: Awaitable[None]) -> None:
    """Wait for a check, and no longer than `PATIENCE`.

    Parameters
    ----------
    checked
        The check under way.
    """
    async with asyncio.timeout(PATIENCE):
        await checked


async def refused(call: Awaitable[object], kind: type[MetriqGymError]) -> MetriqGymError:
    """Return the error that a call must raise.

    Parameters
    ----------
    call
        What is under way.
    kind
        The class of error that is due.

    Raises
    ------
    AssertionError
        When it returned.
    """
    try:
        answer = await call
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was due, and {answer!r} was returned")


def known() -> list[tuple[QuantumCircuit, str]]:
    """Return circuits that always give one outcome, with that, in Qiskit's order: the last bit is the first."""
    from qiskit import QuantumCircuit

    straight, crossed, single = QuantumCircuit(3, 3), QuantumCircuit(3, 3), QuantumCircuit(3, 1)
    straight.x(0)
    straight.measure([0, 1, 2], [0, 1, 2])
    crossed.x([0, 1])
    crossed.measure([0, 1, 2], [1, 2, 0])
    single.x(1)
    single.measure(1, 0)
    return [(straight, "001"), (crossed, "110"), (single, "1")]


def batches(items: Sequence[tuple[QuantumCircuit, str]], most: int) -> list[Sequence[tuple[QuantumCircuit, str]]]:
    """Return the items in batches of no more than `most`.

    Parameters
    ----------
    items
        Circuits and their outcomes.
    most
        Items in a batch at most.
    """
    return [items[first : first + most] for first in range(0, len(items), most)]
