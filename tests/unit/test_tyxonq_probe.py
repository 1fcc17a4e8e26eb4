"""Asking a live service what no page tells, here of services that behave in different ways."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.models import TaskDetail
from metriq_gym.providers.tyxonq.probe import Probe, counts_order
from tests.support.tyxonq import TOKEN, URL, ok


class Cloud:
    """A service that runs X on the first qubit after a while, with some of the undocumented habits."""

    def __init__(self, counts: dict[str, int], echoes: bool, filters_flags: bool) -> None:
        self.counts, self.echoes, self.filters_flags = counts, echoes, filters_flags
        self.tasks: dict[str, dict[str, Any]] = {}
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return httpx.Response(401, json={"detail": "who are you?"})
        body = json.loads(request.content)
        match request.url.path.rsplit("/", 1)[-1]:
            case "submit_task":
                name = f"job_{len(self.tasks)}"
                self.tasks[name] = body
                return ok({"id": name, "success": True})
            case "detail":
                return ok({"task": self._detail(body["task_id"])})
            case _:
                return ok(
                    {"tasks": [self._row(name) for name in self.tasks if self._matches(name, body.get("device"))]}
                )

    def _matches(self, name: str, wanted: str | None) -> bool:
        device = str(self.tasks[name]["device"])
        return wanted in (None, device.partition("?")[0] if self.filters_flags else device)

    def _detail(self, name: str) -> dict[str, Any]:
        self.asked += 1
        if self.asked < 3:
            return {"id": name, "state": "pending"}
        if "nonsense" in self.tasks[name]["source"]:
            return {"id": name, "state": "failed", "err": "line 5"}
        return {"id": name, "state": "completed", "result": self.counts}

    def _row(self, name: str) -> dict[str, Any]:
        echo = {"remarks": self.tasks[name]["remarks"]} if self.echoes else {}
        return {"job_name": name, "status": "completed", "device": self.tasks[name]["device"], **echo}


async def no_pause(seconds: float) -> None:
    """Go on at once."""


async def probed(cloud: Cloud) -> dict[str, str]:
    transport = httpx.MockTransport(cloud)
    client, stranger = (TyxonQClient(SecretStr(token), URL, transport=transport) for token in (TOKEN, "wrong"))
    probe = Probe(client, stranger, DeviceString("homebrew_s2", 3), "probe-1", sleep=no_pause)
    return {finding.question: finding.answer async for finding in probe.run()}


async def test_every_open_question_is_answered_with_three_submissions() -> None:
    cloud = Cloud({"10": 97, "00": 3}, echoes=True, filters_flags=True)
    found = await probed(cloud)
    assert found["Which order do the counts have?"] == "measured-first"
    assert found["Where are remarks echoed?"] == "list"
    assert found["Does the filter 'homebrew_s2' find a task on 'homebrew_s2?o=3'?"].startswith("yes")
    assert found["Does the filter 'homebrew_s2?o=3' find a task on 'homebrew_s2?o=3'?"].startswith("no")
    assert "who are you?" in found["What does a bad token get?"]
    assert "line 5" in found["What does a bad circuit get?"]
    assert '"remarks":"probe-1"' in found["What does a row of the list look like?"]
    assert [task["device"] for task in cloud.tasks.values()] == [
        "homebrew_s2?o=3",
        "homebrew_s2?o=3&dry",
        "homebrew_s2?o=3",
    ]


async def test_a_service_with_other_habits_gets_other_answers() -> None:
    found = await probed(Cloud({"01": 99}, echoes=False, filters_flags=False))
    assert found["Which order do the counts have?"] == "qiskit"
    assert found["Where are remarks echoed?"] == "nowhere"
    assert found["Does the filter 'homebrew_s2' find a task on 'homebrew_s2?o=3'?"].startswith("no")


@pytest.mark.parametrize("result", [None, {"10": 50, "01": 50}, {"00": 100}, {"1": 100}])
def test_counts_that_show_no_order_are_said_to_show_none(result: object) -> None:
    assert counts_order(TaskDetail.model_validate({"id": "t", "result": result})).startswith("not known")
