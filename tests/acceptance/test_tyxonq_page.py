"""The commands of docs/tyxonq.md run as printed, against the sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metriq_gym.providers.aer.twin import Twins
from metriq_gym.settings import Settings
from tests.sandbox.app import BASE_PATH
from tests.sandbox.fixture import SandboxControl
from tests.servers.discovery import free_port
from tests.support.patience import PATIENCE
from tests.support.readme import ROOT, blocks

PAGE = ROOT / "docs" / "tyxonq.md"
PORT = "8700"
"""As printed."""
# Not every machine has the real one.
CURL = f"""curl() {{ "{sys.executable}" -c 'import sys, httpx
data = sys.argv[4:] and sys.argv[4].encode()
print((httpx.post(sys.argv[2], content=data) if data else httpx.get(sys.argv[2])).raise_for_status().text)' "$@"; }}
"""


def shell(code: str, folder: Path, **more: str) -> str:
    """Run commands from the top of the repository, and return what they print."""
    environment = {**os.environ, "HOME": str(folder), "METRIQ_DATA_DIR": str(folder / "data"), "METRIQ_WORKERS": "1"}
    as_here = code.replace('"$PWD/.venv/bin:$PATH"', f'"{Path(sys.executable).parent}:$PATH"')
    # What runs in the background ends with the rest.
    command = ["bash", "-euc", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + CURL + as_here]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment | more,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def block_with(words: str) -> str:
    (found,) = [block for block in blocks("sh", PAGE) if words in block]
    return found


def test_every_block_is_tried_somewhere() -> None:
    here = ("job dispatch", "mgym circuit", "probe --yes", "/_sandbox/switches", "/_sandbox/calls", "--host 0.0.0.0")
    elsewhere = ("--resubmit",)  # test_resolve_command.py
    for block in blocks("sh", PAGE):
        assert sum(words in block for words in here + elsewhere) == 1, block


def test_with_a_token_a_device_and_its_twin_run_a_benchmark(tyxonq_sandbox: SandboxControl, tmp_path: Path) -> None:
    code = block_with("job dispatch").replace("METRIQ_TYXONQ_TOKEN=…", f"METRIQ_TYXONQ_TOKEN={tyxonq_sandbox.token}")
    said = shell(code, tmp_path, METRIQ_TYXONQ_BASE_URL=tyxonq_sandbox.url)
    assert "homebrew_s2" in said
    assert said.count("expectation_value") == 2
    assert tyxonq_sandbox.submissions()["total"] == 1


def test_the_pages_circuit_is_run_and_its_counts_are_printed(tyxonq_sandbox: SandboxControl, tmp_path: Path) -> None:
    tyxonq_sandbox.set(pending_seconds=0, running_seconds=0, results="ideal")
    path = f'export PATH="{Path(sys.executable).parent}:$PATH"'
    token, url = tyxonq_sandbox.token, tyxonq_sandbox.url
    environment = {"METRIQ_TYXONQ_TOKEN": token, "METRIQ_TYXONQ_BASE_URL": url}
    record = json.loads(shell(f"{path}\n{block_with('mgym circuit')}", tmp_path, **environment))
    assert set(record["results"]["counts"]) == {"00", "11"}
    assert record["results"]["expectation_values"]["ZZ"]["value"] == 1


def test_without_a_token_the_sandbox_runs_it(tmp_path: Path) -> None:
    port = str(free_port())
    # The program is not ready at once, as a person would not be either.
    code = block_with("probe --yes").replace(PORT, port)
    ready = f"\nuntil curl -s http://127.0.0.1:{port}/_sandbox/health 2>/dev/null; do :; done\n"
    said = shell(code.replace(" &\n", " &" + ready), tmp_path)
    assert "expectation_value" in said
    assert "Probe of" in said
    assert (tmp_path / "metriq-sandbox").is_dir()


def test_a_sandbox_is_steered_and_looked_at_while_it_runs(tyxonq_sandbox: SandboxControl, tmp_path: Path) -> None:
    address = tyxonq_sandbox.url.removesuffix(f"{BASE_PATH}/")
    before = tyxonq_sandbox.now()
    for words in ("/_sandbox/switches", "/_sandbox/calls"):
        said = shell(block_with(words).replace(f"http://127.0.0.1:{PORT}", address), tmp_path)
    assert [json.loads(line).keys() for line in said.splitlines()] == [{"total", "by_remarks", "by_source"}, {"calls"}]
    assert tyxonq_sandbox.now() > before + 3600
    assert tyxonq_sandbox.set()["counts_order"] == "first_right"
    assert [fault["kind"] for fault in tyxonq_sandbox.faults()] == ["lost_response", "rate_limited"]


def test_a_sandbox_is_told_all_at_the_start(tmp_path: Path) -> None:
    port = str(free_port())
    ready = f"until curl -s http://127.0.0.1:{port}/_sandbox/health 2>/dev/null; do :; done"
    asked = f"curl -s http://127.0.0.1:{port}/_sandbox/switches"
    code = block_with("--host 0.0.0.0").replace("8701", port).rstrip()
    path = f'export PATH="{Path(sys.executable).parent}:$PATH"'
    said = shell(f"{path}\n{code} &\n{ready}\n{asked}\n", tmp_path)
    assert json.loads(said.splitlines()[-1])["pending_seconds"] == 30


async def test_the_printed_calibrations_are_twins(tmp_path: Path) -> None:
    (printed,) = blocks("json", PAGE)
    path = tmp_path / "calibrations.json"
    path.write_text(printed)
    twins = Twins(Settings(twin_calibration=path).twin_calibration)
    devices = {device.id: device for device in twins.devices()}
    assert devices.keys() == {"tyxonq:homebrew_s2", "tyxonq:tomorrow"}
    assert devices["tyxonq:tomorrow"].metadata["cz_gate_error"] == pytest.approx(0.001)
