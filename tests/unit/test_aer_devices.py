"""The devices of the Aer provider."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from metriq_gym.errors import NotFound
from metriq_gym.providers.aer import devices
from metriq_gym.providers.aer.provider import AerProvider
from metriq_gym.providers.provider import LocalProvider


def test_provider_runs_its_tasks_locally() -> None:
    provider: LocalProvider = AerProvider()
    assert isinstance(provider, LocalProvider)
    assert provider.name == "local"


async def test_ideal_simulator_has_thirty_qubits_all_connected() -> None:
    device = await AerProvider().device("aer_simulator")
    assert (device.provider, device.num_qubits, device.edges, device.simulator) == ("local", 30, None, True)


async def test_every_listed_device_can_be_asked_for() -> None:
    provider = AerProvider()
    listed = await provider.devices()
    assert {"aer_simulator", "fake_manila", "fake_sherbrooke"} <= {device.id for device in listed}
    assert [await provider.device(device.id) for device in listed] == listed


@pytest.mark.parametrize("name", ["fake_manila", "fake_sherbrooke", "fake_cairo", "fake_torino"])
def test_profile_matches_the_backend_it_describes(name: str) -> None:
    device, target = devices.describe(name), devices.target(name)
    assert device.num_qubits == target.num_qubits
    assert set(device.edges or ()) == {(min(edge), max(edge)) for edge in target.build_coupling_map().get_edges()}
    assert len(device.edges or ()) == len(set(device.edges or ()))


async def test_unknown_device_is_refused_with_close_names() -> None:
    said = r"'fake_manilla' .*did you mean 'fake_manila' or .*`mgym devices --provider local` lists all \d+"
    with pytest.raises(NotFound, match=said):
        await AerProvider().device("fake_manilla")


async def test_unknown_device_without_close_names_is_refused_with_the_command_that_lists_all() -> None:
    with pytest.raises(NotFound, match=r"'local'; `mgym devices --provider local` lists all \d+$"):
        await AerProvider().device("?")


def test_compiler_and_simulation_can_be_sent_to_another_process() -> None:
    provider = AerProvider(memory_bytes=2**20, threads=2)
    assert pickle.loads(pickle.dumps((provider.compiler, provider.simulation))) == (
        provider.compiler,
        provider.simulation,
    )


@pytest.mark.slow
def test_importing_the_provider_and_listing_devices_loads_no_qiskit() -> None:
    program = (
        "import asyncio, sys\n"
        "from metriq_gym.providers.aer.provider import AerProvider\n"
        "asyncio.run(AerProvider().devices())\n"
        "sys.exit(', '.join(sorted(name for name in sys.modules if name.split('.')[0].startswith('qiskit')) ) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
