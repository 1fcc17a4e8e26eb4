"""Benchmarks on TyxonQ's sandbox through RabbitMQ, MongoDB and four service processes, held against the twin."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from qiskit.quantum_info import SuperOp

from metriq_gym.client.configurations import examples, read_configuration
from metriq_gym.jobs import JobState
from metriq_gym.providers.aer import twin
from metriq_gym.providers.tyxonq.calibration import Calibration
from metriq_gym.suite_parser import load_suite
from tests.sandbox.app import TOKEN, Sandbox
from tests.sandbox.devices import HOMEBREW_S2
from tests.sandbox.execution import noise_model
from tests.sandbox.fixture import SandboxControl
from tests.sandbox.server import serving
from tests.sandbox.switches import Switches
from tests.servers.rabbitmq import Broker, virtual_host
from tests.support.jobs import watch
from tests.support.patience import PATIENCE
from tests.support.system import System, system

DEVICE = "homebrew_s2?o=3"
TWIN = "tyxonq:homebrew_s2"
SMALL: dict[str, dict[str, Any]] = {
    "lr_qaoa/1D": {"trials": 1, "qaoa_layers": [3, 7], "shots": 500},
    "lr_qaoa/NL": {"trials": 1, "qaoa_layers": [3, 7], "shots": 500},
    "lr_qaoa/FC": {"trials": 1, "qaoa_layers": [3], "shots": 100},
    # All 13 colours that join every pair, each four circuits on all of the qubits.
    "metriq_score_1_0/bseq": {"shots": 300},
    "metriq_score_1_0/mirror_circuits_8q_64l": {"num_circuits": 2, "shots": 500},
    "metriq_score_1_0/qml_kernel_10q": {},
    "metriq_score_1_0/wit_7q": {},
    "metriq_score_1_0/lr_qaoa_1d_10q": {"trials": 1, "shots": 100},
    "metriq_score_1_0/qft_4q": {},
    "metriq_score_1_0/qft_8q": {"shots": 500},
    "metriq_score_1_0/qft_12q": {"shots": 100},
}
"""The members of both suites that fit 13 qubits, with what makes them small enough for a test."""
METRICS = {
    "BSEQ": "score",
    "Linear Ramp QAOA": "score",
    "Mirror Circuits": "polarization",
    "QML Kernel": "accuracy_score",
    "Quantum Fourier Transform": "accuracy_score",
    "WIT": "expectation_value",
}


def members() -> dict[str, dict[str, Any]]:
    """The configurations in the two suites, by suite and name."""
    suites = {name: load_suite(name)[0] for name in ("lr_qaoa", "metriq_score_1_0")}
    return {f"{name}/{each.name}": dict(each.config) for name, suite in suites.items() for each in suite.benchmarks}


BENCHMARKS: dict[str, tuple[dict[str, Any], str]] = {
    **{name: ((config := members()[name] | small), METRICS[config["benchmark_name"]]) for name, small in SMALL.items()},
    "bernstein-vazirani": (
        {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 4, "max_qubits": 4, "max_circuits": 8, "shots": 2000},
        "accuracy_score",
    ),
    "hidden-shift": (
        {"benchmark_name": "Hidden Shift", "min_qubits": 4, "max_qubits": 4, "max_circuits": 16, "shots": 300},
        "accuracy_score",
    ),
    "phase-estimation": (
        {"benchmark_name": "Phase Estimation", "min_qubits": 4, "max_qubits": 4, "max_circuits": 8, "shots": 500},
        "accuracy_score",
    ),
    "quantum-volume": (
        {"benchmark_name": "Quantum Volume", "num_qubits": 4, "trials": 20, "shots": 200},
        "hog_prob",
    ),
    "qat-ole": (read_configuration("qat_ole.example.json") | {"num_initial_states": 4, "shots": 500}, "score"),
    "eplg": (
        read_configuration("eplg.example.json") | {"lengths": [2, 4, 8], "num_qubits_in_chain": 4, "shots": 500},
        "chain_eplgs",
    ),
    "clops": ({"benchmark_name": "CLOPS", "num_qubits": 3, "num_layers": 4, "num_circuits": 5, "shots": 100}, ""),
}
"""All thirteen job types: configuration, and the metric that the noise tells in, but for CLOPS, which is a speed."""
FIDELITIES = ("expectation_value", "accuracy_score", "polarization")
"""Metrics that are 1 without noise."""


def measured(record: dict[str, Any], metric: str) -> tuple[float, float]:
    """Return a metric and its uncertainty."""
    results = record["results"]
    if metric == "chain_eplgs":
        return results[metric][0], results["chain_eplg_uncertainties"][0]
    return results[metric]["value"], results[metric]["uncertainty"] or 0.0


@dataclass(frozen=True)
class World:
    """The running services and the sandbox that they talk to."""

    running: System
    sandbox: Sandbox

    async def result(self, job_id: str, device: str, config: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Run a job to its end and return its record."""
        provider = "local" if device == TWIN else "tyxonq"
        await self.running.publish(
            {"job_id": job_id, "provider": provider, "device": device, "config": config, **changes}
        )
        await self.running.ended(job_id)
        async with asyncio.timeout(PATIENCE):
            # A job that failed has ended before its record is written.
            while job_id not in self.running.exported():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return self.running.exported()[job_id]

    def submitted(self, job_id: str) -> list[Any]:
        """The tasks that the sandbox has accepted for a job."""
        return [task for task in self.sandbox.tasks if f"{job_id}:" in (task.remarks or "")]


def sandbox_settings(url: str) -> dict[str, Any]:
    return {"tyxonq_token": TOKEN, "tyxonq_base_url": url}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(amqp_broker: Broker, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One system and one sandbox for this module."""
    cloud = Sandbox(switches=Switches(pending_seconds=0.1, running_seconds=0.2, drawn_from="remarks"))
    folder, database = tmp_path_factory.mktemp("tyxonq"), f"test_{secrets.token_hex(6)}"
    with serving(cloud) as url, virtual_host(amqp_broker) as amqp_url:
        settings = sandbox_settings(url)
        async with system(
            amqp_url, mongo_url, database, folder, module="tests.support.one_seed", **settings
        ) as running:
            yield World(running, cloud)


def test_the_sandbox_and_the_twin_assume_the_same_noise() -> None:
    """They were written apart: from the vendor's page, and from the calibration that our client reads."""
    d = HOMEBREW_S2
    calibration = Calibration(d.t1, d.t2, d.single_qubit_error, d.cz_error, d.readout_f0, d.readout_f1)
    theirs, ours = noise_model(d), twin.noise_model(calibration)
    errors, expected = theirs._default_quantum_errors, ours._default_quantum_errors
    assert errors.keys() - {"rx"} == expected.keys()  # rx is not documented, so the twin has none
    for gate in expected:
        assert np.allclose(SuperOp(errors[gate]).data, SuperOp(expected[gate]).data, atol=1e-12), gate
    assert theirs._default_readout_error == ours._default_readout_error


def test_every_member_that_fits_the_device_is_among_those_that_run() -> None:
    sizes = ("num_qubits", "width", "num_qubits_in_chain")
    fitting = {
        name for name, config in members().items() if max(config.get(size, 1) for size in sizes) <= HOMEBREW_S2.qubits
    }
    assert set(SMALL) == fitting
    examples_of = {read_configuration(name)["benchmark_name"] for name in examples()}
    assert {config["benchmark_name"] for config, _ in BENCHMARKS.values()} == examples_of


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", BENCHMARKS)
async def test_a_benchmark_on_the_device_agrees_with_its_twin(world: World, name: str) -> None:
    """Both run the same circuits, and all that is drawn is drawn from seeds: a run has the same outcome each time."""
    config, metric = BENCHMARKS[name]
    job = name.replace("/", "-")
    on_device, on_twin = await asyncio.gather(
        world.result(f"{job}-device", DEVICE, config), world.result(f"{job}-twin", TWIN, config)
    )
    if metric:
        (value, error), (predicted, its_error) = measured(on_device, metric), measured(on_twin, metric)
        assert abs(value - predicted) <= 3 * hypot(error, its_error)
        if metric in FIDELITIES:
            assert value < 0.985  # noise there is
    else:
        assert all(record["results"]["clops_score"] > 0 for record in (on_device, on_twin))
    assert on_device["circuit_metadata"] == on_twin["circuit_metadata"]
    tasks = world.submitted(f"{job}-device")
    assert len({task.remarks for task in tasks}) == len(tasks) >= 1


IDEAL: dict[str, tuple[float, float]] = {
    "bernstein_vazirani": (1, 1),
    "bseq": (13, 13),
    "clops": (1, 1e6),
    "eplg": (0, 0.005),
    "hidden_shift": (1, 1),
    "lr_qaoa": (0.6, 0.7),
    "mirror_circuits": (1, 1),
    "phase_estimation": (1, 1),
    "qat_ole": (0.97, 1.03),
    "qml_kernel": (1, 1),
    "quantum_fourier_transform": (1, 1),
    "quantum_volume": (0.75, 0.95),
    "wit": (0.985, 1),
}
"""What each published example scores on 13 qubits without noise, at least and at most."""


@pytest.fixture
def without_noise(world: World) -> Iterator[None]:
    """The sandbox's device is perfect while inside."""
    before = world.sandbox.switches
    world.sandbox.switches = replace(before, results="ideal")
    yield
    world.sandbox.switches = before


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.usefixtures("without_noise")
async def test_every_published_example_runs_on_the_device_and_scores_as_it_should(world: World) -> None:
    names = [name.removesuffix(".example.json") for name in examples()]
    assert set(names) == set(IDEAL)
    configs = [read_configuration(f"{name}.example.json") for name in names]
    # A device's time is dear, and so is a test's.
    configs = [config | ({"trials": 10} if config["benchmark_name"] == "Quantum Volume" else {}) for config in configs]
    records = await asyncio.gather(
        *(world.result(f"example-{name}", DEVICE, config) for name, config in zip(names, configs, strict=True))
    )
    for name, record in zip(names, records, strict=True):
        assert record.get("results"), (name, record)
        score = record["results"].get("score", record["results"].get("eplg_10"))
        value = score["value"] if isinstance(score, dict) else score
        least, most = IDEAL[name]
        assert least <= value <= most, name


@pytest.mark.asyncio(loop_scope="module")
async def test_the_record_names_the_device_without_flags_and_has_them_and_its_calibration(world: World) -> None:
    config = {"benchmark_name": "QML Kernel", "num_qubits": 2, "shots": 100}
    record = await world.result("record", "homebrew_s2?o=6", config)
    assert record["platform"]["provider"] == "tyxonq"
    assert record["platform"]["device"] == "homebrew_s2"
    assert record["platform"]["device_metadata"] == {
        "num_qubits": 13,
        "simulator": False,
        "flags": "o=6",
        "t1_us": HOMEBREW_S2.t1,
        "t2_us": HOMEBREW_S2.t2,
        "single_qubit_gate_error": HOMEBREW_S2.single_qubit_error,
        "cz_gate_error": HOMEBREW_S2.cz_error,
        "readout_error_0": HOMEBREW_S2.readout_f0,
        "readout_error_1": HOMEBREW_S2.readout_f1,
        "extra_fields": {"memo": "not on the page"},
    }
    (task,) = world.submitted("record")
    assert task.target.text == "homebrew_s2?o=6"


@pytest.mark.asyncio(loop_scope="module")
async def test_priority_remarks_and_group_of_a_request_reach_the_provider(world: World) -> None:
    config = {"benchmark_name": "QML Kernel", "num_qubits": 2, "shots": 100}
    await world.result("noted", DEVICE, config, prior=7, remarks="for the paper", group="autumn")
    (task,) = world.submitted("noted")
    assert (task.prior, task.remarks, task.group) == (7, "for the paper noted:0", "autumn")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_reset_is_unsupported_and_nothing_is_submitted(world: World) -> None:
    record = await world.result("wit-6", DEVICE, {"benchmark_name": "WIT", "num_qubits": 6, "shots": 100})
    assert record["outcome"] == "unsupported"
    assert "reset" in record["outcome_detail"]["error_message"]
    assert "homebrew_s2" in record["outcome_detail"]["error_message"]
    assert world.submitted("wit-6") == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_device_that_is_not_there_is_rejected(world: World) -> None:
    config = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 100}
    for job_id, device in {"no-device": "homebrew_s3?o=3", "no-flags": "homebrew_s2?o=9"}.items():
        await world.running.publish({"job_id": job_id, "provider": "tyxonq", "device": device, "config": config})
        job = await world.running.ended(job_id)
        assert job.state is JobState.REJECTED
        assert job.failure is not None
        assert [problem["path"] for problem in job.failure.problems] == ["$.device"]


CIRCUITS = 60
KILLS = 6


@pytest.fixture
def many() -> Iterator[SandboxControl]:
    """A sandbox that takes a moment over each submission."""
    with serving(Sandbox(switches=Switches(pending_seconds=0.1, running_seconds=0.2, results="ideal"))) as url:
        control = SandboxControl(url, TOKEN)
        control.add_fault("latency", "submit", seconds=0.02)
        yield control


async def test_a_dispatcher_killed_again_and_again_submits_each_circuit_once(
    many: SandboxControl, amqp_url: str, mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    chance = random.Random(4)
    impatient = {"lease_seconds": 1.5, "settle_seconds": 1.5, "reconcile_seconds": 1}
    config = {
        "benchmark_name": "Mirror Circuits",
        "width": 2,
        "num_layers": 1,
        "num_circuits": CIRCUITS,
        "shots": 10,
        "seed": 1,
    }
    only = {"scorer": 0, "exporter": 0}
    async with system(
        amqp_url, mongo_url, mongo_database, tmp_path, counts=only, **impatient, **sandbox_settings(many.url)
    ) as running:
        (dispatcher,) = running.named("dispatcher")
        await running.publish({"job_id": "j", "provider": "tyxonq", "device": DEVICE, "config": config})
        kills = 0
        async with asyncio.timeout(PATIENCE):
            while kills < KILLS and (total := many.submissions()["total"]) < CIRCUITS:
                await more_than(many, total + chance.randint(0, CIRCUITS // KILLS - 4))
                await asyncio.sleep(chance.uniform(0, 0.05))  # anywhere in a submission
                dispatcher.kill()
                kills += 1
                dispatcher.start()
                await dispatcher.ready()
        assert kills >= 3
        async with asyncio.timeout(PATIENCE):
            async for job in watch(running.store, "j"):
                if job.state is JobState.COMPLETED:
                    break
        tasks = await running.store.tasks.of_job("j")
    by_remarks = many.submissions()["by_remarks"]
    assert {remarks: len(ids) for remarks, ids in by_remarks.items()} == {f"j:{n}": 1 for n in range(CIRCUITS)}
    assert {task.id: [task.provider_job_id] for task in tasks} == by_remarks


async def more_than(sandbox: SandboxControl, total: int) -> None:
    """Return once more submissions than `total` were accepted, or all have been."""
    while sandbox.submissions()["total"] <= min(total, CIRCUITS - 1):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
