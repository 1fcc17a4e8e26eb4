"""Our own providers pass the contract that `metriq_gym.testing` has for those of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from metriq_gym.errors import SubmissionAmbiguous
from metriq_gym.providers.aer.provider import AerProvider
from metriq_gym.providers.provider import (
    Ended,
    LocalProvider,
    NotAccepted,
    Progress,
    RemoteProvider,
    Submission,
    Waiting,
)
from metriq_gym.providers.tyxonq.plugin import TyxonQSettings
from metriq_gym.providers.tyxonq.provider import TyxonQProvider
from metriq_gym.testing.contract import RETRY_AFTER, Cloud, Fault, LocalContract, RemoteContract
from metriq_gym.testing.provider import counted
from tests.sandbox.app import TOKEN, Sandbox
from tests.sandbox.fixture import SandboxControl
from tests.sandbox.server import serving

FAULTS: dict[Fault, dict[str, Any]] = {
    Fault.LOST_ANSWER: {"kind": "lost_response", "endpoints": ["submit"]},
    Fault.SLOW_ANSWER: {"kind": "slow_body", "endpoints": ["submit"], "seconds": 20},
    Fault.BUSY: {"kind": "rate_limited", "retry_after": str(int(RETRY_AFTER))},
    Fault.DOWN: {"kind": "server_error", "status": 503},
    Fault.CREDENTIAL: {"kind": "refused"},
    Fault.REFUSED: {"kind": "refused", "endpoints": ["submit"]},
    Fault.TASK_FAILS: {"kind": "task_fails", "endpoints": ["submit"]},
    Fault.ODD_STATE: {"kind": "state", "state": "meditating", "endpoints": ["detail", "list"]},
}


@dataclass(frozen=True)
class TyxonQ:
    """The sandbox, as the contract tells it what to do."""

    sandbox: SandboxControl
    device: str = "homebrew_s2?o=3"
    kind: type[TyxonQProvider] = TyxonQProvider

    def provider(self) -> RemoteProvider:
        return self.kind.from_settings(TyxonQSettings(token=self.sandbox.token, base_url=self.sandbox.url))

    def accepted(self) -> list[str]:
        return [tag for tag, ids in self.sandbox.submissions()["by_remarks"].items() for _ in ids]

    def strike(self, fault: Fault) -> None:
        if fault is Fault.CREDENTIAL:
            self.sandbox.set(valid_token="another")
            return
        options = dict(FAULTS[fault])
        self.sandbox.add_fault(options.pop("kind"), *options.pop("endpoints", ()), **options)

    def heal(self) -> None:
        self.sandbox.set(valid_token=None)
        self.sandbox.clear_faults()

    def finish(self) -> None:
        self.sandbox.advance(60)


class TestTyxonQ(RemoteContract):
    kind = TyxonQProvider

    @contextmanager
    def cloud(self) -> Iterator[Cloud]:
        with serving(Sandbox()) as url:
            control = SandboxControl(url, TOKEN)
            control.set(results="ideal")
            control.freeze()
            yield TyxonQ(control, kind=self.kind)


class TestLocal(LocalContract):
    device = "aer_simulator"

    def provider(self) -> LocalProvider:
        return AerProvider()


class Insistent(TyxonQProvider):
    """Sends again what may have been accepted."""

    async def submit(self, submission: Submission) -> str:
        try:
            return await super().submit(submission)
        except SubmissionAmbiguous:
            return await super().submit(submission)


class Forgetful(TyxonQProvider):
    """Finds nothing."""

    async def match(self, *_: Any) -> NotAccepted:
        return NotAccepted()


class Reversed(TyxonQProvider):
    """Leaves counts as they come."""

    @property
    def decoder(self) -> Any:
        return counted


class Hasty(TyxonQProvider):
    """Takes every trouble for the end of a task."""

    async def progress(self, shots: Mapping[str, int], seconds: float) -> dict[str, Progress]:
        said = await super().progress(shots, seconds)
        return {each: waits if isinstance(waits := said.get(each), Waiting) else Ended("?") for each in shots}


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Insistent, "test_a_submission_whose_answer_is_lost_is_sent_once_and_found"),
        (Forgetful, "test_a_submission_whose_answer_is_lost_is_sent_once_and_found"),
        (Forgetful, "test_of_several_lost_submissions_none_gets_anothers_task"),
        (Forgetful, "test_a_submission_that_is_cancelled_is_sent_once_and_found"),
        (Reversed, "test_counts_are_in_qiskits_order"),
        (Hasty, "test_a_service_that_is_down_ends_no_task_and_no_submission"),
        (Hasty, "test_a_service_that_is_busy_is_left_alone_for_as_long_as_it_asks"),
        (Hasty, "test_a_state_that_is_not_understood_is_neither_success_nor_failure"),
    ],
)
def test_a_provider_that_breaks_the_contract_is_found_out(kind: type[TyxonQProvider], broken: str) -> None:
    contract = TestTyxonQ()
    contract.kind = kind
    with pytest.raises(AssertionError):
        getattr(contract, broken)()
