"""Finds out what no document says about the live service, with three tiny tasks: `mgym tyxonq probe`.

The answers are shown as they came, since only a human can judge what they mean; nobody's token is among them.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import SecretStr

from metriq_gym.errors import MetriqGymError, Permanent
from metriq_gym.providers.tyxonq import states
from metriq_gym.providers.tyxonq.client import (
    DEVICES,
    READ_SECONDS,
    SUBMIT,
    SUBMIT_SECONDS,
    TASKS,
    TyxonQClient,
)
from metriq_gym.providers.tyxonq.counts import CountsOrder, counts_of
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.models import Submitted, TaskDetail, TaskList, TaskRow
from metriq_gym.providers.tyxonq.transport import NoReply, NotSent, Reply, post

SHOTS = 100
SHOWN = 600
"""Characters of an answer that are shown."""
WAIT_SECONDS = 600.0
PAUSE_SECONDS = 3.0

_HEADER = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\n'
_MEASURED = "measure q[0] -> c[0];\nmeasure q[1] -> c[1];\n"
X_ON_Q0 = f"{_HEADER}x q[0];\n{_MEASURED}"
NO_CIRCUIT = f"{_HEADER}frobnicate q[0];\n{_MEASURED}"
WRONG_TOKEN = SecretStr("metriq-gym-probe-of-a-wrong-token")


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What a probe would submit, to be shown before it does."""

    device: DeviceString

    @property
    def submissions(self) -> tuple[tuple[str, DeviceString, int, str], ...]:
        """What each is for, and its device, shots and source."""
        dry = DeviceString(self.device.id, self.device.options, dry=True)
        return (
            ("counts order: x on q[0]", self.device, SHOTS, X_ON_Q0),
            ("a dry run", dry, SHOTS, X_ON_Q0),
            ("a circuit with a gate that does not exist", self.device, 1, NO_CIRCUIT),
        )

    def __str__(self) -> str:
        """What it costs, at most."""
        lines = [f"  {shots:>4} shots on {device}: {purpose}" for purpose, device, shots, _ in self.submissions]
        total = sum(shots for _, _, shots, _ in self.submissions)
        return "\n".join([f"The probe submits {len(lines)} tasks, {total} shots in all:", *lines])


@dataclass(frozen=True, slots=True)
class Finding:
    """One question, the answer in a few words, and what the service said."""

    question: str
    answer: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a probe found out."""

    base_url: str
    device: str
    findings: tuple[Finding, ...]
    counts_order: CountsOrder | None
    """What METRIQ_TYXONQ_COUNTS_ORDER should be, if that became clear."""
    remarks_echoed: bool | None

    def __str__(self) -> str:
        """The findings one after the other."""
        parts = [f"Probe of {self.base_url}, device {self.device}"]
        for finding in self.findings:
            parts.append(f"\n{finding.question}\n  {finding.answer}")
            parts += [f"    {line}" for line in finding.evidence.splitlines()]
        return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks the service, with its own plain requests besides the client's.

    Parameters
    ----------
    client, http:
        Both for `base_url`; `http` without a token.
    sleep:
        How it waits between two looks at a task.
    """

    client: TyxonQClient
    http: httpx.AsyncClient
    token: SecretStr
    base_url: str
    plan: ProbePlan
    tag: str
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> Report:
        """Submit and look. What fails is a finding too."""
        wrong_token = await self._raw(DEVICES, {}, token=WRONG_TOKEN)
        (x, dry, bad) = [await self._submit(*each) for each in self.plan.submissions]
        x_task, dry_task, bad_task = [await self._ended(each) for each in (x, dry, bad)]
        everything = await self._list({})
        filtered = await self._list({"device": self.plan.device.id})
        full = await self._list({"device": str(self.plan.device)})
        order = _order(x_task)
        echoed = _echoed(everything, x.id, self.tag)
        return Report(
            self.base_url,
            str(self.plan.device),
            (
                Finding("What does a wrong token get?", _status(wrong_token), _body(wrong_token)),
                Finding("What does a submission get?", "an id" if x.id else "no id", x.evidence),
                Finding("In which order are counts written?", _order_text(order, x_task), _text(x_task)),
                Finding("What does a wrong circuit get?", _outcome(bad, bad_task), bad.evidence + _after(bad_task)),
                Finding("What does a dry run get?", _outcome(dry, dry_task), dry.evidence + _after(dry_task)),
                Finding("What is in a row of the list?", *_row(everything, x.id)),
                Finding("Are remarks in the list?", _yes(echoed)),
                Finding("Does the filter by device find tasks with flags?", _yes(_lists(filtered, x.id))),
                Finding("Does the filter by device with flags?", _yes(_lists(full, x.id))),
                Finding("Is the list in pages?", _pages(everything)),
            ),
            order,
            echoed,
        )

    async def _submit(self, purpose: str, device: DeviceString, shots: int, source: str) -> _Sent:
        """Submit once. An answer that got lost is not looked for: the next question stands without it."""
        body = {
            "device": str(device),
            "shots": shots,
            "source": source,
            "version": "1",
            "lang": "OPENQASM",
            "remarks": f"{purpose} {self.tag}",
        }
        reply = await self._raw(SUBMIT, body, seconds=SUBMIT_SECONDS)
        try:
            accepted = Submitted.model_validate(reply.document) if isinstance(reply, Reply) else None
        except ValueError:
            accepted = None
        return _Sent(accepted.id if accepted else None, f"{_status(reply)}\n{_body(reply)}")

    async def _ended(self, sent: _Sent) -> TaskDetail | str:
        """Return a task once it has ended, or why that cannot be told."""
        if sent.id is None:
            return "it was not accepted"
        task: TaskDetail | None = None
        waited = 0.0
        while waited < WAIT_SECONDS:
            try:
                task = await self.client.detail(sent.id)
            except MetriqGymError as error:
                return str(error)
            if isinstance(states.state_of(task), states.HasCounts | states.HasFailed):
                return task
            await self.sleep(PAUSE_SECONDS)
            waited += PAUSE_SECONDS
        return f"after {WAIT_SECONDS:g} s it is still {task.state if task else 'unknown'}"

    async def _list(self, filters: Mapping[str, str]) -> TaskList | str:
        reply = await self._raw(TASKS, {"task_type": "quantum_api", **filters})
        try:
            return TaskList.model_validate(reply.document if isinstance(reply, Reply) else None)
        except ValueError:
            return _status(reply)

    async def _raw(
        self, path: str, body: Mapping[str, Any], *, token: SecretStr | None = None, seconds: float = READ_SECONDS
    ) -> Reply | NoReply | NotSent:
        """Send one request and return what came, whatever it is, without the token."""
        used, http = token or self.token, nullcontext(self.http)
        return await post(http, path, body, seconds=seconds, now=lambda: datetime.now(UTC), secret=used)


@dataclass(frozen=True, slots=True)
class _Sent:
    id: str | None
    evidence: str


async def probe(
    token: SecretStr,
    base_url: str,
    device: str,
    *,
    confirm: bool,
    transport: httpx.AsyncBaseTransport | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Report:
    """Probe the service with `ProbePlan(DeviceString.parse(device))`, which says its cost; then wait for the tasks.

    Raises `Permanent` unless `confirm`, before anything is sent, and for a token or URL that cannot be used;
    `InvalidRequest` for a device string that is none.
    """
    plan = ProbePlan(DeviceString.parse(device))
    if not confirm:
        raise Permanent(f"{plan}\nNothing was sent: this needs a confirmation.")
    url = base_url if base_url.endswith("/") else f"{base_url}/"
    async with (
        TyxonQClient(token, base_url, transport=transport, sleep=sleep) as client,
        httpx.AsyncClient(base_url=url, transport=transport, headers={"Accept-Encoding": "identity"}) as http,
    ):
        stripped = SecretStr(token.get_secret_value().strip())
        return await Probe(client, http, stripped, base_url, plan, f"probe-{secrets.token_hex(4)}", sleep).run()


def _order(task: TaskDetail | str) -> CountsOrder | None:
    """Tell the order from the counts of x on q[0]: which end the 1 is at in most outcomes."""
    if isinstance(task, str):
        return None
    try:
        counts = counts_of(task, SHOTS)
    except MetriqGymError:
        return None
    first, last = counts.get("10", 0), counts.get("01", 0)
    if max(first, last) <= sum(counts.values()) / 2:
        return None
    return CountsOrder.MEASURED_FIRST if first > last else CountsOrder.QISKIT


def _order_text(order: CountsOrder | None, task: TaskDetail | str) -> str:
    if order is None:
        return f"not clear: {task}" if isinstance(task, str) else "not clear from these counts"
    where = "leftmost" if order is CountsOrder.MEASURED_FIRST else "rightmost"
    return f"q[0] is {where}: METRIQ_TYXONQ_COUNTS_ORDER={order}"


def _echoed(listed: TaskList | str, task_id: str | None, tag: str) -> bool | None:
    row = _find(listed, task_id)
    return None if row is None else tag in row.model_dump_json()


def _lists(listed: TaskList | str, task_id: str | None) -> bool | None:
    return None if isinstance(listed, str) or task_id is None else _find(listed, task_id) is not None


def _find(listed: TaskList | str, task_id: str | None) -> TaskRow | None:
    if isinstance(listed, str) or task_id is None:
        return None
    return next((row for row in listed.tasks if row.job_name == task_id), None)


def _row(listed: TaskList | str, task_id: str | None) -> tuple[str, str]:
    if isinstance(listed, str):
        return f"there is no list: {listed}", ""
    row = _find(listed, task_id)
    if row is None:
        return f"the new task is not among {len(listed.tasks)} rows", ""
    return f"of {len(listed.tasks)} rows, the new task's", _shown(row.model_dump(mode="json", exclude_unset=True))


def _pages(listed: TaskList | str) -> str:
    if isinstance(listed, str):
        return f"not known: {listed}"
    extra = {name: value for name, value in (listed.model_extra or {}).items() if name != "success"}
    beside = f"; beside them: {_shown(extra)}" if extra else ""
    return f"{len(listed.tasks)} rows{beside}"


def _outcome(sent: _Sent, task: TaskDetail | str) -> str:
    if sent.id is None:
        return "refused at once"
    if isinstance(task, str):
        return f"accepted, then: {task}"
    return f"accepted, then {task.state}" + (f": {_shown(task.err)}" if task.err else "")


def _after(task: TaskDetail | str) -> str:
    return "" if isinstance(task, str) else f"\nlater: {_text(task)}"


def _text(task: TaskDetail | str) -> str:
    return "" if isinstance(task, str) else _shown(task.model_dump(mode="json", by_alias=True, exclude_unset=True))


def _status(reply: Reply | NoReply | NotSent) -> str:
    return f"HTTP {reply.status}" if isinstance(reply, Reply) else reply.reason


def _body(reply: Reply | NoReply | NotSent) -> str:
    if not isinstance(reply, Reply):
        return ""
    return reply.problem if reply.document is None else _shown(reply.document)


def _yes(found: bool | None) -> str:
    return {True: "yes", False: "no", None: "not known"}[found]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
