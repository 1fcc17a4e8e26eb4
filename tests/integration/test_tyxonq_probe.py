"""`mgym tyxonq probe` against the sandbox, in every way that the sandbox can answer its questions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from metriq_gym.errors import InvalidRequest, Permanent
from metriq_gym.providers.tyxonq.counts import CountsOrder
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.probe import WRONG_TOKEN, ProbePlan, Report, probe
from tests.sandbox.fixture import SandboxControl

DEVICE = "homebrew_s2?o=3"


@pytest.fixture
def sandbox(tyxonq_sandbox: SandboxControl) -> SandboxControl:
    tyxonq_sandbox.set(pending_seconds=0.02, running_seconds=0.02)
    return tyxonq_sandbox


async def quickly(_: float) -> None:
    await asyncio.sleep(0.02)


async def probed(sandbox: SandboxControl, **switches: Any) -> Report:
    if switches:
        sandbox.set(**switches)
    return await probe(SecretStr(sandbox.token), sandbox.url, DEVICE, confirm=True, sleep=quickly)


def answer(report: Report, question: str) -> str:
    (found,) = [finding for finding in report.findings if question in finding.question]
    return f"{found.answer}\n{found.evidence}"


async def test_nothing_is_sent_without_confirmation_and_the_cost_is_said(sandbox: SandboxControl) -> None:
    with pytest.raises(Permanent, match=r"3 tasks, 201 shots(.|\n)*homebrew_s2\?o=3&dry"):
        await probe(SecretStr(sandbox.token), sandbox.url, DEVICE, confirm=False)
    assert sandbox.calls() == {}


async def test_it_submits_what_it_says_and_no_more(sandbox: SandboxControl) -> None:
    await probed(sandbox)
    assert sandbox.submissions()["total"] == len(ProbePlan(DeviceString.parse(DEVICE)).submissions)


async def test_a_device_string_that_is_none_is_refused_before_anything_is_sent(sandbox: SandboxControl) -> None:
    with pytest.raises(InvalidRequest):
        await probe(SecretStr(sandbox.token), sandbox.url, "homebrew_s2?o=8", confirm=True)
    assert sandbox.calls() == {}


@pytest.mark.parametrize(
    ("switch", "order"), [("first_left", CountsOrder.MEASURED_FIRST), ("first_right", CountsOrder.QISKIT)]
)
async def test_the_order_of_counts_is_found_out(sandbox: SandboxControl, switch: str, order: CountsOrder) -> None:
    report = await probed(sandbox, counts_order=switch)
    assert report.counts_order is order
    assert f"METRIQ_TYXONQ_COUNTS_ORDER={order}" in str(report)


@pytest.mark.parametrize(("switch", "echoed"), [("no", False), ("parameters", True), ("field", True)])
async def test_whether_remarks_are_echoed_is_found_out(sandbox: SandboxControl, switch: str, echoed: bool) -> None:
    report = await probed(sandbox, echo_remarks=switch)
    assert report.remarks_echoed is echoed
    assert answer(report, "remarks").startswith("yes" if echoed else "no")


@pytest.mark.parametrize(("switch", "bare", "flagged"), [("base", "yes", "no"), ("exact", "no", "yes")])
async def test_what_the_filter_by_device_compares_is_found_out(
    sandbox: SandboxControl, switch: str, bare: str, flagged: str
) -> None:
    report = await probed(sandbox, device_filter=switch)
    assert answer(report, "filter by device find").startswith(bare)
    assert answer(report, "filter by device with").startswith(flagged)


async def test_errors_rows_and_dry_runs_are_shown_as_they_came(sandbox: SandboxControl) -> None:
    report = await probed(sandbox, list_limit=2, list_paged=True)
    assert "HTTP 401" in answer(report, "wrong token")
    assert "bearer token" in answer(report, "wrong token")
    assert "frobnicate" in answer(report, "wrong circuit")
    assert "accepted, then failed" in answer(report, "wrong circuit")
    assert "accepted, then completed" in answer(report, "dry run")
    assert '"result": null' in answer(report, "dry run")
    assert '"total": 3' in answer(report, "pages")
    assert "not among 2 rows" in answer(report, "row of the list")
    assert '"job_name"' in answer(await probed(sandbox, list_limit=None), "row of the list")


async def test_a_wrong_circuit_that_is_refused_at_once_is_told_apart(sandbox: SandboxControl) -> None:
    report = await probed(sandbox, circuit_checked="submit")
    assert answer(report, "wrong circuit").startswith("refused at once")


@pytest.mark.parametrize("kind", ["html", "server_error", "truncated_json", "lost_response", "no_id"])
async def test_a_service_that_does_not_work_is_reported_not_raised(sandbox: SandboxControl, kind: str) -> None:
    sandbox.add_fault(kind)
    report = await probed(sandbox)
    assert report.counts_order is None
    assert report.remarks_echoed is None
    assert "not known" in str(report)


async def test_the_token_is_nowhere_in_the_report(sandbox: SandboxControl) -> None:
    sandbox.add_fault("refused", "devices", message=f"no such token: {WRONG_TOKEN.get_secret_value()}")
    sandbox.add_fault("refused", "submit", message=f"no credit left for {sandbox.token}", after=1)
    report = await probed(sandbox)
    for text in (str(report), repr(report)):
        assert sandbox.token not in text
        assert WRONG_TOKEN.get_secret_value() not in text
    assert "no credit left for ***" in str(report)
