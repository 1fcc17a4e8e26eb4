"""The TyxonQ sandbox answers the vendor page's own examples as the page says, and each switch does what it says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox.app import BASE_PATH, TOKEN, Sandbox
from tests.sandbox.clock import Clock
from tests.sandbox.control import control_routes
from tests.sandbox.devices import HOMEBREW_S2
from tests.sandbox.faults import Fault, Faults, Kind
from tests.sandbox.fixture import SandboxControl
from tests.sandbox.switches import Switches
from tests.sandbox.transport import SandboxTransport
from tests.servers.discovery import free_port, wait_until
from tests.support.patience import PATIENCE

DEVICES = "api/v1/devices/list"
SUBMIT = "api/v1/tasks/submit_task"
DETAIL = "api/v1/tasks/detail"
LIST = "api/v1/tasks/api_key/list"
REMOVE = "api/v1/task/remove"

HEADER = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'

# The bodies below are the vendor page's examples as they stand there.
BELL = """OPENQASM 2.0;
include "qelib1.inc";
qreg q[2];
h q[0];
cx q[0],q[1];
measure q[0] -> c[0];
measure q[1] -> c[1];"""
BELL_WITH_CREG = BELL.replace("qreg q[2];\n", "qreg q[2];\ncreg c[2];\n")
BELL_REQUEST = {
    "device": "homebrew_s2?o=3",
    "shots": 100,
    "source": BELL,
    "version": "1",
    "lang": "OPENQASM",
    "prior": 1,
    "remarks": "Bell state preparation",
}
DEVICE_ROW = {
    "id": "homebrew_s2",
    "qubits": 13,
    "T1": 84.44615173339844,
    "T2": 45.41538619995117,
    "Err": {
        "SQ": 0.0007843076923076923,
        "CZ": 0.009009666666666666,
        "Readout": {"F0": 0.016538461538461537, "F1": 0.04118461538461538},
    },
    "state": "running",
}
COMPLETED_TASK = {
    "id": "<JOB_ID>",
    "queue": "quregenai.lab",
    "device": "homebrew_s2?o=3",
    "qubits": 2,
    "depth": 3,
    "state": "completed",
    "shots": 100,
    "at": 1754275505649825,
    "ts": {"completed": 1754275505649825, "pending": 1754275502265270, "scheduled": 1754275502260031},
    "md5": "f31a82f44a53bc8fa6e08ef0c6a34d53",
    "runAt": 1754275488761744,
    "runDur": 2532053,
    "atChip": 1754275446369691,
    "durChip": 120185,
    "result": {"00": 33, "01": 2, "10": 4, "11": 61},
    "task_type": "quantum_api",
}
LIST_ROW = {
    "task_id": "task_id",
    "task_type": "quantum_api",
    "status": "completed",
    "parameters": "",
    "result": "",
    "job_name": "task_uuid",
    "device": "device_id",
    "created_at": "",
    "updated_at": "",
    "completed_at": "",
}
DEVICE_STRINGS = [
    "homebrew_s2",
    "homebrew_s2?o=0",
    "homebrew_s2?o=1",
    "homebrew_s2?o=2",
    "homebrew_s2?o=3",
    "homebrew_s2?o=4",
    "homebrew_s2?o=7",
    "homebrew_s2?o=3&dry",
]


class Cloud:
    """A sandbox inside the process whose time stands still, and a plain HTTP client of it."""

    def __init__(self, client: httpx.AsyncClient, sandbox: Sandbox) -> None:
        self.client = client
        self.sandbox = sandbox

    async def post(self, path: str, body: Any = None) -> Any:
        response = await self.client.post(path, json=body or {})
        return response.json()

    async def submit(self, source: str = BELL, **fields: Any) -> str:
        answer = await self.post(SUBMIT, {**BELL_REQUEST, "source": source, **fields})
        assert answer["success"], answer
        return str(answer["id"])

    async def task(self, task_id: str) -> dict[str, Any]:
        return dict((await self.post(DETAIL, {"task_id": task_id}))["task"])

    async def ended(self, source: str = BELL, **fields: Any) -> dict[str, Any]:
        """The task after all the time it takes."""
        task_id = await self.submit(source, **fields)
        self.sandbox.clock.advance(60)
        return await self.task(task_id)


@asynccontextmanager
async def cloud_of(sandbox: Sandbox, token: str = TOKEN) -> AsyncIterator[Cloud]:
    async with httpx.AsyncClient(
        transport=SandboxTransport(sandbox),
        base_url=f"http://sandbox{BASE_PATH}/",
        headers={"Authorization": f"Bearer {token}"},
    ) as client:
        yield Cloud(client, sandbox)


@asynccontextmanager
async def cloud_with(*faults: Fault, seed: int = 0, **switches: Any) -> AsyncIterator[Cloud]:
    sandbox = Sandbox(switches=Switches(**switches), faults=faults, seed=seed, clock=Clock(frozen=True))
    try:
        async with cloud_of(sandbox) as cloud:
            yield cloud
    finally:
        sandbox.close()


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with cloud_with() as cloud:
        yield cloud


def shape(value: Any) -> Any:
    """Field names and types."""
    return {name: shape(each) for name, each in value.items()} if isinstance(value, dict) else type(value)


# The page's own examples


def as_on_the_page(cloud: Cloud) -> None:
    """Leave out what is only known from the vendor's SDK."""
    cloud.sandbox.switches = replace(cloud.sandbox.switches, extra_fields=False, success_field="documented")


async def test_devices_list_answers_the_documented_calibration(cloud: Cloud) -> None:
    as_on_the_page(cloud)
    assert await cloud.post(DEVICES) == {"devices": [DEVICE_ROW]}


async def test_the_bell_example_is_accepted_with_the_documented_answer(cloud: Cloud) -> None:
    answer = await cloud.post(SUBMIT, BELL_REQUEST)
    assert set(answer) == {"id", "job_name", "status", "user_id", "success", "error"}
    assert answer["success"] is True
    assert answer["error"] is None
    assert answer["id"] == answer["job_name"] != ""


@pytest.mark.parametrize("source", [BELL, BELL_WITH_CREG], ids=["page sample without creg", "page sample with creg"])
async def test_the_completed_bell_example_has_the_documented_shape(cloud: Cloud, source: str) -> None:
    as_on_the_page(cloud)
    task_id = await cloud.submit(source)
    cloud.sandbox.clock.advance(60)
    answer = await cloud.post(DETAIL, {"task_id": task_id})
    task = answer["task"]
    results = task.pop("result")
    documented = {name: value for name, value in COMPLETED_TASK.items() if name != "result"}
    assert answer["success"] is True
    assert shape(task) == shape(documented)
    same = ("queue", "device", "qubits", "depth", "state", "shots", "task_type")
    assert {name: task[name] for name in same} == {name: documented[name] for name in same}
    assert task["id"] == task_id
    assert task["md5"] == hashlib.md5(source.encode()).hexdigest()
    assert set(results) <= {"00", "01", "10", "11"}
    assert sum(results.values()) == 100
    assert task["ts"]["completed"] == pytest.approx(cloud.sandbox.clock.now() * 1e6, abs=61e6)


async def test_the_list_has_the_documented_rows_with_the_detail_id_in_job_name(cloud: Cloud) -> None:
    as_on_the_page(cloud)
    task = await cloud.ended()
    (row,) = (await cloud.post(LIST, {"device": "homebrew_s2", "task_type": "quantum_api"}))["tasks"]
    assert shape(row) == shape(LIST_ROW)
    assert row["job_name"] == task["id"]
    assert row["status"] == "completed"
    assert row["device"] == "homebrew_s2?o=3"
    assert (await cloud.client.post(DETAIL, json={"task_id": row["task_id"]})).status_code == 404


@pytest.mark.parametrize("device", DEVICE_STRINGS)
async def test_every_device_string_of_the_page_is_accepted(cloud: Cloud, device: str) -> None:
    task = await cloud.ended(device=device)
    assert task["device"] == device
    assert task["state"] == "completed"


@pytest.mark.parametrize(
    "device",
    [
        None,
        "",
        7,
        "device_id",
        "homebrew_s2?o=8",
        "homebrew_s2?o=-1",
        "homebrew_s2?o=03",
        "homebrew_s2?o=",
        "homebrew_s2?o=x",
        "homebrew_s2?dry",
        "homebrew_s2&dry",
        "homebrew_s2?dry&o=3",
        "homebrew_s2?o=3&dry=1",
        "homebrew_s2?o=3&o=4",
        "homebrew_s2?p=3",
        "homebrew_s2?o=3\n",
    ],
)
async def test_other_device_strings_are_refused_by_name(cloud: Cloud, device: Any) -> None:
    answer = await cloud.post(SUBMIT, {**BELL_REQUEST, "device": device})
    assert answer["success"] is False
    assert answer["error"].startswith("device: ")
    assert len(cloud.sandbox.tasks) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shots", 0),
        ("shots", -1),
        ("shots", 1_000_001),
        ("shots", 1.5),
        ("shots", "100"),
        ("shots", True),
        ("shots", None),
        ("shots", [100]),
        ("source", ""),
        ("source", 7),
        ("source", None),
        ("source", []),
        ("source", [BELL, 7]),
        ("prior", 0),
        ("prior", 11),
        ("prior", "1"),
        ("prior", 1.0),
        ("version", "2"),
        ("version", 1),
        ("lang", "QASM3"),
        ("remarks", 7),
        ("group", []),
    ],
)
async def test_each_rule_of_the_validation_table_names_the_field(cloud: Cloud, field: str, value: Any) -> None:
    answer = await cloud.post(SUBMIT, {**BELL_REQUEST, field: value})
    assert answer["success"] is False
    assert answer["error"].startswith(f"{field}: ")
    assert "id" not in answer


async def test_all_that_is_wrong_is_listed(cloud: Cloud) -> None:
    answer = await cloud.post(SUBMIT, {"device": "nowhere", "shots": 0, "source": BELL, "prior": 11})
    assert [part.partition(":")[0] for part in answer["error"].split("; ")[:1]] == ["device"]
    assert "shots: " in answer["error"]
    assert "prior: " in answer["error"]


@pytest.mark.parametrize(("field", "value"), [("shots", 1), ("shots", 1_000_000), ("prior", 1), ("prior", 10)])
async def test_the_ends_of_the_ranges_are_accepted(cloud: Cloud, field: str, value: int) -> None:
    answer = await cloud.post(SUBMIT, {**BELL_REQUEST, field: value})
    assert answer["success"] is True


async def test_device_and_source_are_enough(cloud: Cloud) -> None:
    answer = await cloud.post(SUBMIT, {"device": "homebrew_s2", "source": BELL})
    assert (await cloud.task(answer["id"]))["shots"] == 1024


async def test_circuit_stands_in_for_source(cloud: Cloud) -> None:
    answer = await cloud.post(SUBMIT, {"device": "homebrew_s2", "circuit": BELL})
    assert (await cloud.task(answer["id"]))["qubits"] == 2


async def test_a_batch_is_one_task_with_a_list_of_results() -> None:
    flip = HEADER + "qreg q[1]; x q[0]; measure q[0] -> c[0];"
    async with cloud_with(results="ideal") as cloud:
        task = await cloud.ended(source=[flip, BELL], shots=[10, 20])  # type: ignore[arg-type]
        assert task["shots"] == [10, 20]
        assert task["result"][0] == {"1": 10}
        assert sum(task["result"][1].values()) == 20
        same = await cloud.ended(source=[flip, flip], shots=10)  # type: ignore[arg-type]
        assert same["result"] == [{"1": 10}, {"1": 10}]
        refused = await cloud.post(SUBMIT, {**BELL_REQUEST, "source": [flip, flip], "shots": [10]})
        assert refused["error"].startswith("shots: ")


# HTTP


@pytest.mark.parametrize("path", [DEVICES, SUBMIT, DETAIL, LIST])
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", f"Basic {TOKEN}", TOKEN])
async def test_without_the_token_there_is_nothing(cloud: Cloud, path: str, header: str | None) -> None:
    del cloud.client.headers["Authorization"]
    response = await cloud.client.post(
        path, json=BELL_REQUEST, headers={} if header is None else {"Authorization": header}
    )
    assert response.status_code == 401
    assert "token" in response.json()["detail"]
    assert len(cloud.sandbox.tasks) == 0


async def test_requests_must_be_json_objects(cloud: Cloud) -> None:
    post = cloud.client.post
    assert (await post(SUBMIT, content=json.dumps(BELL_REQUEST))).status_code == 415
    json_type = {"Content-Type": "application/json; charset=utf-8"}
    assert (await post(SUBMIT, content=json.dumps(BELL_REQUEST), headers=json_type)).json()["success"]
    assert (await post(SUBMIT, content="{", headers=json_type)).status_code == 400
    assert "object" in (await post(SUBMIT, json=1)).json()["error"]


@pytest.mark.parametrize(
    "path", ["api/v1/tasks/cancel", "api/v1/tasks/delete", "api/v2/devices/list", "api/v1/devices"]
)
async def test_nothing_else_is_there_to_call(cloud: Cloud, path: str) -> None:
    assert (await cloud.client.post(path, json={})).status_code == 404


async def test_reading_is_a_post_too(cloud: Cloud) -> None:
    assert (await cloud.client.get(DEVICES)).status_code == 405


async def test_unknown_tasks_are_not_found(cloud: Cloud) -> None:
    response = await cloud.client.post(DETAIL, json={"task_id": "task_uuid"})
    assert response.status_code == 404
    assert response.json() == {"success": False, "detail": "task_id: there is no such task"}
    assert "task_id" in (await cloud.post(DETAIL, {}))["detail"]


async def test_accounts_do_not_see_each_others_tasks() -> None:
    sandbox = Sandbox(tokens=("one", "two"), clock=Clock(frozen=True))
    async with cloud_of(sandbox, "one") as one, cloud_of(sandbox, "two") as two:
        task_id = await one.submit()
        assert (await one.task(task_id))["id"] == task_id
        assert (await two.client.post(DETAIL, json={"task_id": task_id})).status_code == 404
        assert (await two.post(LIST))["tasks"] == []


# States over time


async def test_a_task_is_scheduled_then_pending_then_running_then_completed() -> None:
    async with cloud_with(scheduled_seconds=1, pending_seconds=10, running_seconds=100) as cloud:
        task_id = await cloud.submit()
        seen = []
        for seconds in (0, 1, 9.9, 0.2, 99, 1):
            cloud.sandbox.clock.advance(seconds)
            (row,) = (await cloud.post(LIST))["tasks"]
            task = await cloud.task(task_id)
            assert task["state"] == row["status"]
            assert ("result" in task) == ("runAt" in task) == (row["completed_at"] != "") == ("completed" in task["ts"])
            seen.append(task["state"])
        assert seen == ["scheduled", "pending", "pending", "running", "running", "completed"]
        assert task["runDur"] == 100_000_000


async def test_durations_spread_around_the_ones_set() -> None:
    async with cloud_with(scheduled_seconds=0, pending_seconds=100, running_seconds=0, spread=0.5) as cloud:
        for _ in range(50):
            await cloud.submit()
        ended = [task.ended_at - task.accepted_at for task in cloud.sandbox.tasks]
        assert 50 <= min(ended) < 70
        assert 130 < max(ended) <= 150


async def test_time_goes_on_where_it_was_frozen() -> None:
    now = 1000.0
    clock = Clock(source=lambda: now)
    clock.frozen = True
    now = 2000.0
    assert clock.now() == 1000.0
    clock.advance(5)
    clock.frozen = False
    assert clock.now() == 1005.0
    now = 2001.0
    assert clock.now() == 1006.0
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)


async def test_a_dry_run_is_compiled_and_not_executed(cloud: Cloud) -> None:
    task = await cloud.ended(device="homebrew_s2?o=3&dry")
    assert task["state"] == "completed"
    assert task["depth"] == 3
    assert task["result"] is None
    assert not {"runAt", "runDur", "atChip", "durChip"} & set(task)
    refused = await cloud.ended(HEADER + "qreg q[1]; hh q[0];", device="homebrew_s2?o=3&dry")
    assert refused["state"] == "failed"


# Circuits


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("qreg q[2]; hh q[0]; measure q -> c;", "hh"),
        ("qreg q[2]; h q[0]", "';'"),
        ("qreg q[2]; h q[2]; measure q -> c;", "out-of-range"),
        ("qreg q[2]; h q[0]; barrier q; measure q -> c;", "barrier"),
        ("qreg q[2]; h q[0]; reset q[0]; measure q -> c;", "reset"),
        ("qreg q[1]; creg c[1]; if(c==1) x q[0]; measure q -> c;", "if_else"),
        ("qreg q[1]; u3(1,2,3) q[0]; measure q -> c;", "u3"),
        ("qreg q[1]; gate own a { h a; } own q[0]; measure q -> c;", "own"),
        ("qreg q[2]; swap q[0],q[1]; measure q -> c;", "swap"),
        ("qreg q[14]; h q[13]; measure q -> c;", "13"),
        ("qreg q[1]; h q[0];", "measured"),
        ("qreg q[1]; measure q[0] -> c[0]; x q[0];", "measured"),
        ("qreg q[1]; measure q[0] -> c[0]; measure q[0] -> c[1];", "measured"),
    ],
)
async def test_wrong_circuits_are_accepted_and_fail_later(cloud: Cloud, program: str, complaint: str) -> None:
    task = await cloud.ended(HEADER + program)
    assert task["state"] == "failed"
    assert task["err"].startswith("source: ")
    assert complaint in task["err"]
    assert not {"result", "runAt", "runDur", "atChip", "durChip", "depth"} & set(task)
    assert "failed" in task["ts"]


async def test_all_documented_gates_run_up_to_thirteen_qubits() -> None:
    program = "qreg q[13]; h q[0]; x q[1]; y q[2]; z q[3]; s q[4]; t q[5]; rz(pi/3) q[6]; cx q[0],q[7]; cz q[8],q[12];"
    async with cloud_with(results="ideal") as cloud:
        task = await cloud.ended(HEADER + program + "measure q -> c;", shots=50)
        assert task["qubits"] == 13
        assert set(task["result"]) <= {"0110000000000", "1110000100000"}


async def test_unlisted_gates_run_unless_switched_off() -> None:
    program = HEADER + "qreg q[1]; sdg q[0]; tdg q[0]; rx(pi) q[0]; measure q[0] -> c[0];"
    async with cloud_with(results="ideal") as cloud:
        assert (await cloud.ended(program))["result"] == {"1": 100}
        cloud.sandbox.switches = Switches(accept_unlisted_gates=False)
        assert "sdg" in (await cloud.ended(program))["err"]


async def test_a_missing_creg_fails_if_switched_so() -> None:
    async with cloud_with(accept_missing_creg=False) as cloud:
        assert "'c' is not defined" in (await cloud.ended(BELL))["err"]
        assert (await cloud.ended(BELL_WITH_CREG))["state"] == "completed"


async def test_line_numbers_in_errors_are_those_of_the_text(cloud: Cloud) -> None:
    task = await cloud.ended(BELL.replace("cx q[0],q[1];", "cx q[0],q[9];"))
    assert ":5," in task["err"]


async def test_circuits_are_checked_at_submission_if_switched_so() -> None:
    async with cloud_with(circuit_checked="submit") as cloud:
        answer = await cloud.post(SUBMIT, {**BELL_REQUEST, "source": HEADER + "qreg q[1]; hh q[0];"})
        assert answer["error"].startswith("source: ")
        assert len(cloud.sandbox.tasks) == 0


# Counts


async def test_bell_counts_have_the_noise_of_the_calibration(cloud: Cloud) -> None:
    shots = 100_000
    counts = (await cloud.ended(shots=shots))["result"]
    f0, f1 = HOMEBREW_S2.readout_f0, HOMEBREW_S2.readout_f1
    # Two-qubit depolarisation by p has the infidelity 3p/4 and puts p/2 on the outcomes 01 and 10.
    odd = HOMEBREW_S2.cz_error * 4 / 3 / 2
    even = (1 - odd) / 2
    expected = {
        "00": even * ((1 - f0) ** 2 + f1**2) + odd * (1 - f0) * f1,
        "11": even * ((1 - f1) ** 2 + f0**2) + odd * (1 - f1) * f0,
    }
    for key, probability in expected.items():
        assert counts[key] / shots == pytest.approx(probability, abs=0.005)
    # Readout alone would explain fewer odd outcomes; one standard deviation is 0.0008.
    readout_only = 0.5 * 2 * (f0 * (1 - f0) + f1 * (1 - f1))
    assert (counts["01"] + counts["10"]) / shots > readout_only + 0.002


def test_gate_errors_have_the_published_infidelity() -> None:
    from qiskit.quantum_info import average_gate_fidelity

    from tests.sandbox.execution import noise_model

    errors = noise_model(HOMEBREW_S2)._default_quantum_errors
    assert 1 - average_gate_fidelity(errors["h"]) == pytest.approx(HOMEBREW_S2.single_qubit_error, rel=1e-6)
    assert 1 - average_gate_fidelity(errors["cz"]) == pytest.approx(HOMEBREW_S2.cz_error, rel=1e-6)
    # A one-qubit channel of infidelity r has, as one on two qubits, the infidelity 6r/5.
    cx_error = HOMEBREW_S2.cz_error + 2 * 1.2 * HOMEBREW_S2.single_qubit_error
    assert 1 - average_gate_fidelity(errors["cx"]) == pytest.approx(cx_error, rel=0.01)
    assert "rz" not in errors


@pytest.mark.parametrize(("order", "key"), [("first_left", "100"), ("first_right", "001")])
async def test_the_counts_order_shows_where_q0_stands(order: str, key: str) -> None:
    program = HEADER + "qreg q[3]; x q[0]; measure q[0] -> c[0]; measure q[1] -> c[1]; measure q[2] -> c[2];"
    async with cloud_with(counts_order=order) as cloud:
        counts = (await cloud.ended(program, shots=500))["result"]
        assert max(counts, key=counts.__getitem__) == key


async def test_keys_hold_the_measured_bits_in_the_order_of_measurement() -> None:
    program = HEADER + "qreg q[5]; creg c[5]; x q[3]; measure q[3] -> c[4]; measure q[0] -> c[1];"
    async with cloud_with(results="ideal") as cloud:
        assert (await cloud.ended(program))["result"] == {"10": 100}


async def test_ideal_counts_have_no_noise_and_zero_outcomes_are_missing() -> None:
    async with cloud_with(results="ideal") as cloud:
        assert set((await cloud.ended(shots=1000))["result"]) == {"00", "11"}


async def test_tasks_draw_their_own_counts_unless_cached() -> None:
    async with cloud_with() as cloud:
        assert (await cloud.ended(shots=10_000))["result"] != (await cloud.ended(shots=10_000))["result"]
    async with cloud_with(results="cached") as cloud:
        assert (await cloud.ended(shots=10_000))["result"] == (await cloud.ended(shots=10_000))["result"]


async def test_counts_drawn_from_remarks_are_the_same_in_whatever_order_tasks_are_accepted() -> None:
    async def one_run(order: tuple[str, str]) -> dict[str, dict[str, int]]:
        async with cloud_with(drawn_from="remarks") as cloud:
            return {remarks: (await cloud.ended(shots=10_000, remarks=remarks))["result"] for remarks in order}

    first = await one_run(("j:0", "j:1"))
    assert first == await one_run(("j:1", "j:0"))
    assert first["j:0"] != first["j:1"]


async def test_parts_that_no_gate_joins_are_drawn_as_one_circuit() -> None:
    """Two pairs apart, one on the outer qubits, and a qubit alone that nothing is read of."""
    source = (
        'OPENQASM 2.0; include "qelib1.inc"; qreg q[5]; creg c[4]; h q[0]; cx q[0],q[3]; x q[1]; cx q[1],q[2]; h q[4];'
        "measure q[3] -> c[0]; measure q[1] -> c[1]; measure q[0] -> c[2]; measure q[2] -> c[3];"
    )
    async with cloud_with() as cloud:
        counts = (await cloud.ended(shots=4000, source=source))["result"]
    assert sum(counts.values()) == 4000
    assert counts["0101"] + counts["1111"] > 3200
    assert min(counts["0101"], counts["1111"]) > 1400


async def test_the_same_seed_gives_the_same_ids_and_counts() -> None:
    async def one_run(seed: int) -> tuple[str, dict[str, int]]:
        async with cloud_with(seed=seed) as cloud:
            task = await cloud.ended(shots=1000)
            return task["id"], task["result"]

    first, again, other = await one_run(1), await one_run(1), await one_run(2)
    assert first == again
    assert first[0] != other[0]


async def test_many_who_ask_at_once_get_one_simulation(cloud: Cloud) -> None:
    task_id = await cloud.submit()
    cloud.sandbox.clock.advance(60)
    answers = await asyncio.gather(*[cloud.task(task_id) for _ in range(20)])
    assert all(answer["result"] == answers[0]["result"] for answer in answers)


@pytest.mark.parametrize(
    ("result_shape", "expected"), [("flat", {"1": 5}), ("counts", {"counts": {"1": 5}}), ("null", None)]
)
async def test_results_have_the_switched_shape(result_shape: str, expected: Any) -> None:
    async with cloud_with(result_shape=result_shape, results="ideal") as cloud:
        task = await cloud.ended(HEADER + "qreg q[1]; x q[0]; measure q[0] -> c[0];", shots=5)
        assert task["result"] == expected


# Switches of answers


@pytest.mark.parametrize(
    ("error_shape", "status", "body"),
    [
        ("error", 200, {"success": False, "error": 'lang: only "OPENQASM" is supported'}),
        ("detail", 422, {"success": False, "detail": 'lang: only "OPENQASM" is supported'}),
        (
            "detail_list",
            422,
            {"detail": [{"loc": ["body", "lang"], "msg": 'only "OPENQASM" is supported', "type": "value_error"}]},
        ),
        ("err", 422, {"err": 'lang: only "OPENQASM" is supported'}),
    ],
)
async def test_errors_have_the_switched_shape(error_shape: str, status: int, body: Any) -> None:
    async with cloud_with(error_shape=error_shape) as cloud:
        response = await cloud.client.post(SUBMIT, json={**BELL_REQUEST, "lang": "C"})
        assert (response.status_code, response.json()) == (status, body)
    async with cloud_with(error_shape=error_shape, error_status=409) as cloud:
        assert (await cloud.client.post(SUBMIT, json={})).status_code == 409


async def test_success_is_shown_where_switched() -> None:
    async def shown(**switches: Any) -> list[bool]:
        async with cloud_with(**switches) as cloud:
            submitted = await cloud.post(SUBMIT, BELL_REQUEST)
            answers = [submitted, await cloud.post(DETAIL, {"task_id": submitted["id"]})]
            answers += [await cloud.post(DEVICES), await cloud.post(LIST)]
            return ["success" in answer for answer in answers]

    assert await shown() == [True] * 4
    assert await shown(success_field="documented") == [True, True, False, False]
    assert await shown(success_field="never") == [False] * 4


async def test_a_batch_as_the_vendors_sdk_sends_it_is_one_task(cloud: Cloud) -> None:
    alike = {"device": "homebrew_s2", "version": "1", "lang": "OPENQASM"}
    batch = [{**alike, "source": BELL, "shots": 10}, {**alike, "source": BELL_WITH_CREG, "shots": 20}]
    answer = (await cloud.client.post(SUBMIT, json=batch)).json()
    cloud.sandbox.clock.advance(60)
    task = await cloud.task(answer["id"])
    assert task["shots"] == [10, 20]
    assert [sum(counts.values()) for counts in task["result"]] == [10, 20]
    for wrong in ([], [1], [batch[0], {**batch[1], "device": "homebrew_s2?o=3"}]):
        assert (await cloud.client.post(SUBMIT, json=wrong)).json()["success"] is False


async def test_a_task_that_was_removed_is_seen_no_more_and_stays_paid_for(cloud: Cloud) -> None:
    task_id = await cloud.submit()
    assert (await cloud.post(REMOVE, {"id": task_id}))["success"] is True
    assert (await cloud.client.post(DETAIL, json={"task_id": task_id})).status_code == 404
    assert (await cloud.post(LIST))["tasks"] == []
    assert (await cloud.client.post(REMOVE, json={"id": task_id})).status_code == 404
    assert len(cloud.sandbox.tasks) == 1


async def test_small_answer_switches() -> None:
    async with cloud_with(status_word="已提交", device_state="maintenance") as cloud:
        assert (await cloud.post(SUBMIT, BELL_REQUEST))["status"] == "已提交"
        (device,) = (await cloud.post(DEVICES))["devices"]
        assert device["state"] == "maintenance"
        assert "memo" in device
        assert "memo" in (await cloud.post(LIST))["tasks"][0]


async def test_skewed_clocks_contradict_each_other() -> None:
    async with cloud_with(clock_skew_seconds=14) as cloud:
        task = await cloud.ended()
        assert task["ts"]["pending"] < task["ts"]["scheduled"]
        assert task["atChip"] < task["runAt"] < task["ts"]["scheduled"]


# Switches of the list


@pytest.mark.parametrize("echo", ["no", "parameters", "field"])
async def test_remarks_are_echoed_where_switched(echo: str) -> None:
    async with cloud_with(echo_remarks=echo) as cloud:
        task_id = await cloud.submit(remarks="tag-1")
        (row,) = (await cloud.post(LIST))["tasks"]
        parameters = json.loads(row["parameters"]) if row["parameters"] else {}
        assert parameters.get("remarks") == ("tag-1" if echo == "parameters" else None)
        assert row.get("remarks") == ("tag-1" if echo == "field" else None)
        assert "tag-1" not in json.dumps(await cloud.task(task_id))


async def test_the_list_filters_by_device_with_or_without_flags() -> None:
    async with cloud_with() as cloud:
        await cloud.submit(device="homebrew_s2")
        await cloud.submit(device="homebrew_s2?o=3")
        assert len((await cloud.post(LIST, {"device": "homebrew_s2"}))["tasks"]) == 2
        assert (await cloud.post(LIST, {"device": "elsewhere"}))["tasks"] == []
        assert (await cloud.post(LIST, {"task_type": "other"}))["tasks"] == []
        cloud.sandbox.switches = Switches(device_filter="exact")
        (row,) = (await cloud.post(LIST, {"device": "homebrew_s2"}))["tasks"]
        assert row["device"] == "homebrew_s2"


async def test_the_list_is_newest_first_and_cut_where_switched() -> None:
    async with cloud_with(list_limit=2) as cloud:
        ids = [await cloud.submit() for _ in range(5)]
        assert [row["job_name"] for row in (await cloud.post(LIST))["tasks"]] == [ids[4], ids[3]]
        assert len((await cloud.post(LIST, {"page": 2}))["tasks"]) == 2
        cloud.sandbox.switches = Switches(list_limit=2, list_paged=True)
        pages = [await cloud.post(LIST, {"page": page}) for page in (1, 2, 3, 4)]
        assert [row["job_name"] for page in pages for row in page["tasks"]] == ids[::-1]
        assert {page["total"] for page in pages} == {5}


async def test_new_tasks_come_late_into_the_list_where_switched() -> None:
    async with cloud_with(list_delay_seconds=30) as cloud:
        await cloud.submit()
        assert (await cloud.post(LIST))["tasks"] == []
        cloud.sandbox.clock.advance(30)
        assert len((await cloud.post(LIST))["tasks"]) == 1


# Faults


@pytest.mark.parametrize("retry_after", [None, "7", "Fri, 20 Nov 2026 12:00:00 GMT"])
async def test_rate_limiting_says_when_to_come_back_if_told(retry_after: str | None) -> None:
    async with cloud_with(Fault("rate_limited", ("submit",), retry_after=retry_after, times=1)) as cloud:
        response = await cloud.client.post(SUBMIT, json=BELL_REQUEST)
        assert response.status_code == 429
        assert response.headers.get("retry-after") == retry_after
        assert len(cloud.sandbox.tasks) == 0
        await cloud.submit()


@pytest.mark.parametrize(
    ("fault", "status", "media_type"),
    [
        (Fault("server_error"), 503, "text/plain"),
        (Fault("server_error", status=500), 500, "text/plain"),
        (Fault("html"), 502, "text/html"),
        (Fault("html", status=200), 200, "text/html"),
    ],
)
async def test_answers_that_are_not_json(fault: Fault, status: int, media_type: str) -> None:
    async with cloud_with(fault) as cloud:
        for path in (DEVICES, SUBMIT, DETAIL, LIST):
            response = await cloud.client.post(path, json=BELL_REQUEST)
            assert response.status_code == status
            assert response.headers["content-type"].startswith(media_type)
        assert len(cloud.sandbox.tasks) == 0


@pytest.mark.parametrize("kind", ["server_error", "html", "rate_limited", "redirect", "reset"])
async def test_a_fault_may_hide_that_the_request_was_carried_out(kind: Any) -> None:
    async with cloud_with(Fault(kind, ("submit",), handled=True)) as cloud:
        try:
            assert (await cloud.client.post(SUBMIT, json=BELL_REQUEST)).status_code >= 300
        except httpx.ReadError:
            assert kind == "reset"
        assert len(cloud.sandbox.tasks) == 1


async def test_redirects_count_who_follows_them() -> None:
    async with cloud_with(Fault("redirect", ("detail",))) as cloud:
        response = await cloud.client.post(DETAIL, json={})
        assert response.status_code == 307
        assert cloud.sandbox.calls["redirected"] == 0
        await cloud.client.post(response.headers["location"].removeprefix("/"), json={}, follow_redirects=True)
        await cloud.client.post(DETAIL, json={}, follow_redirects=True)
        assert cloud.sandbox.calls["redirected"] == 1


async def test_truncated_json_is_half_of_the_truth() -> None:
    async with cloud_with(Fault("truncated_json", ("submit",))) as cloud:
        response = await cloud.client.post(SUBMIT, json=BELL_REQUEST)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.text.startswith('{"success":true')
        with pytest.raises(json.JSONDecodeError):
            response.json()
        assert len(cloud.sandbox.tasks) == 1


async def test_refusals_and_answers_without_what_matters() -> None:
    async with cloud_with(
        Fault("refused", ("submit",), times=1, message="quota exceeded"), Fault("no_id", ("submit",), after=1, times=1)
    ) as cloud:
        assert await cloud.post(SUBMIT, BELL_REQUEST) == {"success": False, "error": "quota exceeded"}
        assert len(cloud.sandbox.tasks) == 0
        answer = await cloud.post(SUBMIT, BELL_REQUEST)
        assert answer["success"]
        assert answer["id"] is None
        (task,) = cloud.sandbox.tasks
        cloud.sandbox.faults.add(Fault("no_task", ("detail",)))
        assert await cloud.post(DETAIL, {"task_id": task.id}) == {"success": True}


async def test_the_next_tasks_fail_if_told(cloud: Cloud) -> None:
    cloud.sandbox.faults.add(Fault("task_fails", ("submit",), times=1, message="chip was cooling"))
    failed, completed = await cloud.ended(), await cloud.ended()
    assert (failed["state"], failed["err"]) == ("failed", "chip was cooling")
    assert not {"result", "runAt", "runDur", "atChip", "durChip", "depth"} & set(failed)
    assert completed["state"] == "completed"


async def test_states_can_be_unknown_words(cloud: Cloud) -> None:
    task_id = await cloud.submit()
    cloud.sandbox.clock.advance(60)
    cloud.sandbox.faults.add(
        Fault("state", ("detail", "list"), state="hold", times=2), Fault("state", ("detail",), after=1, state="done")
    )
    unknown = await cloud.task(task_id)
    assert (unknown["state"], "result" in unknown) == ("hold", False)
    assert (await cloud.post(LIST))["tasks"][0]["status"] == "hold"
    done = await cloud.task(task_id)
    assert done["state"] == "done"
    assert sum(done["result"].values()) == 100


async def test_states_can_go_backwards() -> None:
    backwards = Fault("stale_state", ("detail",), every=2)
    async with cloud_with(backwards, scheduled_seconds=1, pending_seconds=1, running_seconds=1) as cloud:
        task_id = await cloud.submit()
        seen = []
        for _ in range(4):
            seen += [(await cloud.task(task_id))["state"] for _ in range(2)]
            cloud.sandbox.clock.advance(1)
        assert seen == [
            *("scheduled", "scheduled"),
            *("pending", "scheduled"),
            *("running", "pending"),
            *("completed", "running"),
        ]
    async with cloud_with(Fault("stale_state", seconds=30), running_seconds=20) as cloud:
        assert (await cloud.ended())["state"] == "completed"
        task_id = await cloud.submit()
        cloud.sandbox.clock.advance(40)
        assert (await cloud.task(task_id))["state"] == "running"


async def test_faults_strike_the_calls_they_are_told_to() -> None:
    async def struck(fault: Fault, calls: int = 12) -> list[int]:
        faults = Faults([fault], seed=1)
        return [call for call in range(calls) if faults.draw("detail")]

    assert await struck(Fault("html", after=2, times=3)) == [2, 3, 4]
    assert await struck(Fault("html", every=4)) == [3, 7, 11]
    assert await struck(Fault("html", after=1, every=3, times=2)) == [3, 6]
    assert await struck(Fault("html", ("submit",))) == []
    drawn = await struck(Fault("html", probability=0.2), 1000)
    assert drawn == await struck(Fault("html", probability=0.2), 1000)
    assert 150 < len(drawn) < 250


# Real HTTP


def plain_client(control: SandboxControl, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=control.url, headers={"Authorization": f"Bearer {control.token}"}, **options)


def test_it_is_served_over_real_http_and_steered_from_outside(tyxonq_sandbox: SandboxControl) -> None:
    tyxonq_sandbox.freeze()
    tyxonq_sandbox.set(results="ideal", pending_seconds=100)
    with plain_client(tyxonq_sandbox) as client:
        task_id = client.post(SUBMIT, json=BELL_REQUEST).json()["id"]
        tyxonq_sandbox.advance(50)
        assert client.post(DETAIL, json={"task_id": task_id}).json()["task"]["state"] == "pending"
        tyxonq_sandbox.advance(60)
        task = client.post(DETAIL, json={"task_id": task_id}).json()["task"]
        assert set(task["result"]) == {"00", "11"}
        assert task["at"] <= tyxonq_sandbox.now() * 1e6
    assert tyxonq_sandbox.calls() == {"submit": 1, "detail": 2}
    assert tyxonq_sandbox.submissions() == {
        "total": 1,
        "by_remarks": {"Bell state preparation": [task_id]},
        "by_source": {task["md5"]: [task_id]},
    }


@pytest.mark.parametrize(
    ("kind", "error", "accepted"), [("reset", httpx.ReadError, 0), ("lost_response", httpx.RemoteProtocolError, 1)]
)
def test_connections_break_as_on_a_network(
    tyxonq_sandbox: SandboxControl, kind: str, error: type[Exception], accepted: int
) -> None:
    tyxonq_sandbox.add_fault(kind, "submit", times=1)
    with plain_client(tyxonq_sandbox) as client:
        with pytest.raises(error):
            client.post(SUBMIT, json=BELL_REQUEST)
        assert tyxonq_sandbox.submissions()["total"] == accepted
        assert client.post(SUBMIT, json=BELL_REQUEST).json()["success"]


async def test_in_process_clients_see_the_same_breaks(cloud: Cloud) -> None:
    cloud.sandbox.faults.add(Fault("reset", ("submit",), times=1), Fault("lost_response", ("submit",)))
    with pytest.raises(httpx.ReadError):
        await cloud.submit()
    with pytest.raises(httpx.RemoteProtocolError):
        await cloud.submit()
    assert len(cloud.sandbox.tasks) == 1


@pytest.mark.parametrize("kind", ["latency", "slow_body"])
def test_slow_answers_outlast_a_client_without_patience(tyxonq_sandbox: SandboxControl, kind: str) -> None:
    tyxonq_sandbox.set(extra_fields=False, success_field="documented")
    tyxonq_sandbox.add_fault(kind, "devices", seconds=0.4, times=2)
    with plain_client(tyxonq_sandbox) as client:
        answer = client.post(DEVICES, json={}, timeout=PATIENCE)
        assert answer.elapsed.total_seconds() >= 0.4
        assert answer.json() == {"devices": [DEVICE_ROW]}
        with pytest.raises(httpx.ReadTimeout):
            client.post(DEVICES, json={}, timeout=0.01)


def test_faults_are_listed_and_cleared_from_outside(tyxonq_sandbox: SandboxControl) -> None:
    tyxonq_sandbox.add_fault("html", "devices", every=2)
    with plain_client(tyxonq_sandbox) as client:
        assert [client.post(DEVICES, json={}).status_code for _ in range(4)] == [200, 502, 200, 502]
        (fault,) = tyxonq_sandbox.faults()
        assert (fault["calls"], fault["hits"]) == (4, 2)
        tyxonq_sandbox.clear_faults()
        assert client.post(DEVICES, json={}).status_code == 200


@pytest.mark.parametrize(
    "steer",
    [
        lambda control: control.set(resluts="ideal"),
        lambda control: control.set(results="perfect"),
        lambda control: control.set(pending_seconds="1"),
        lambda control: control.add_fault("htlm"),
        lambda control: control.add_fault("html", "everything"),
        lambda control: control.add_fault("html", probability=2.0),
        lambda control: control.advance(-1),
        lambda control: control.add_tasks(2, device="nowhere", source=BELL),
    ],
)
def test_mistaken_steering_is_refused(tyxonq_sandbox: SandboxControl, steer: Callable[[SandboxControl], Any]) -> None:
    with pytest.raises(ValueError, match=r"Error: |Refused: "):
        steer(tyxonq_sandbox)
    assert tyxonq_sandbox.faults() == []
    assert tyxonq_sandbox.submissions()["total"] == 0


def test_many_waiting_tasks_are_there_at_once(tyxonq_sandbox: SandboxControl) -> None:
    ids = tyxonq_sandbox.add_tasks(2000, device="homebrew_s2?o=3", source=BELL, remarks="load")
    assert tyxonq_sandbox.submissions()["by_remarks"] == {"load": ids}
    with plain_client(tyxonq_sandbox) as client:
        assert len(client.post(LIST, json={}).json()["tasks"]) == len(set(ids)) == 2000


def test_it_runs_as_a_program() -> None:
    port = free_port()
    command = ["-m", "tests.sandbox", "--port", str(port), "--seed", "1", "--token", "mine", "--frozen"]
    command += ["--set", "results=ideal", "--set", "status_word=已提交", "--fault", '{"kind": "html", "times": 1}']
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split(" at ")[1].split()[0]
            assert urlsplit(url).port == port
            control = SandboxControl(url, "mine")
            wait_until(lambda: answers(control), "the sandbox")
            with plain_client(control) as client:
                assert client.post(DEVICES, json={}).status_code == 502
                assert client.post(SUBMIT, json=BELL_REQUEST).json()["status"] == "已提交"
        finally:
            process.terminate()
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)


def test_the_documentation_names_every_switch_fault_and_control() -> None:
    text = (Path(__file__).parents[1] / "sandbox" / "README.md").read_text()
    named = [f"`{name}`" for name in [*(field.name for field in [*fields(Switches), *fields(Fault)]), *get_args(Kind)]]
    controls = [f"/_sandbox{route.path}" for route in control_routes(Sandbox())]
    assert [name for name in named + controls if name not in text] == []


def answers(control: SandboxControl) -> bool:
    try:
        control.now()
    except OSError:
        return False
    return True
