"""TyxonQ's own SDK, unmodified, works with the sandbox: its cloud examples, a batch, and removing a task.

The examples are those of the SDK's source distribution; the wheel has none. `cloud_api_devices.py` and
`cloud_api_task.py` are run as they are. `cloud_api_task_qaoa.py` cannot be: it has the vendor's address written into
it, and uses nothing of the SDK.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.fixture import SandboxControl

INSTALLED = ("tyxonq==1.4.0", "numpy", "requests")
"""The SDK without the simulators, several gigabytes of them, that it loads only when they are used; and what it does
load."""
SCRIPT = """
import json, sys
import tyxonq
from tyxonq.cloud import api
from tyxonq.devices.hardware.tyxonq import driver

source = sys.argv[1]
found = {"version": tyxonq.__version__}
tyxonq.set_token(sys.argv[2])
found["devices"] = api.list_devices(provider="tyxonq")
found["properties"] = driver.list_properties("homebrew_s2")
task = api.submit_task(provider="tyxonq", device="homebrew_s2", source=source, shots=100)[0]
done = task.get_result(wait=True, poll_interval=0.05)
found["state"], found["counts"] = done["uni_status"], done["result"]
found["detail"] = driver.get_task_details(driver.submit_task("homebrew_s2?o=3", source=source, shots=7)[0])
batch = driver.submit_task("tyxonq::homebrew_s2", source=[source, source], shots=[10, 20])[0]
found["batch"] = batch.get_result(poll_interval=0.05)["result"]
found["removed"] = driver.remove_task(batch)
found["after"] = driver.submit_task("homebrew_s2", source=[source], shots=3)[0].id != batch.id
try:
    driver.get_task_details(batch)
except Exception as error:
    found["gone"] = str(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own with the SDK in it."""
    folder = tmp_path_factory.mktemp("sdk")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", INSTALLED[0]], check=True)
    subprocess.run([*pip, *INSTALLED[1:]], check=True)
    return python


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of examples in the SDK's source distribution."""
    folder = tmp_path_factory.mktemp("examples")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-binary", "tyxonq", "--dest", str(folder), INSTALLED[0]], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / "tyxonq-1.4.0" / "examples"


def run(sdk: Path, sandbox: SandboxControl, *command: str, said: str = "") -> str:
    """Run the SDK's Python without a terminal, so that a token that is asked for is read from what is `said`."""
    environment = {**os.environ, "TYXONQ_BASE_URL": sandbox.url, "HOME": str(sdk.parents[1])}
    done = subprocess.run(
        [str(sdk), *command],
        env=environment,
        input=said,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_vendors_sdk_works_with_the_sandbox_as_it_is(sdk: Path, tyxonq_sandbox: SandboxControl) -> None:
    tyxonq_sandbox.set(pending_seconds=0, running_seconds=0, results="ideal")
    source = (Path(__file__).parents[2] / "examples" / "bell.qasm").read_text()
    found: dict[str, Any] = json.loads(
        run(sdk, tyxonq_sandbox, "-c", SCRIPT, source, tyxonq_sandbox.token).splitlines()[-1]
    )
    assert found["version"] == "1.4.0"
    assert "tyxonq::homebrew_s2" in found["devices"]
    (device,) = found["properties"]
    assert (device["id"], device["qubits"], device["state"]) == ("homebrew_s2", 13, "running")
    assert found["state"] == "completed"
    assert set(found["counts"]) == {"00", "11"}
    assert sum(found["counts"].values()) == 100
    assert found["detail"]["result_meta"]["device"] == "homebrew_s2?o=3"
    assert [sum(counts.values()) for counts in found["batch"]] == [10, 20]
    assert found["removed"]["success"] is True
    assert "404" in found["gone"]
    assert tyxonq_sandbox.submissions()["total"] == 4


def test_the_vendors_example_lists_the_sandboxs_device(
    sdk: Path, examples: Path, tyxonq_sandbox: SandboxControl
) -> None:
    shown = run(sdk, tyxonq_sandbox, str(examples / "cloud_api_devices.py"), said=f"{tyxonq_sandbox.token}\n")
    assert '"tyxonq::homebrew_s2"' in shown
    assert tyxonq_sandbox.calls()["devices"] == 1


def test_the_vendors_example_runs_its_circuits_on_the_sandbox(
    sdk: Path, examples: Path, tyxonq_sandbox: SandboxControl
) -> None:
    tyxonq_sandbox.set(pending_seconds=0, running_seconds=0, results="ideal")
    shown = run(sdk, tyxonq_sandbox, str(examples / "cloud_api_task.py"), said=f"{tyxonq_sandbox.token}\n")
    submitted, details, chained = (
        shown.index(words) for words in ("submitted (legacy)", "legacy task details:", "submitted (chain)")
    )
    assert submitted < details < chained
    assert '"uni_status": "completed"' in shown[details:chained]
    assert "detail error" not in shown
    assert "'result': {'" in shown[chained:]
    assert tyxonq_sandbox.submissions()["total"] == 2
