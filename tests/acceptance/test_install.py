"""Installing: from the wheel and from the source distribution, in environments of their own, on each Python here."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

from tests.servers.discovery import free_port
from tests.servers.rabbitmq import Broker, virtual_host
from tests.support.interpreters import interpreters
from tests.support.terminal import MGYM

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
PIPX = "pipx==1.18.4"
PYTHONS = interpreters()
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith(("METRIQ_", "PYTHON", "VIRTUAL_"))}
FACES = "run cli job_manager schema_validator suite_parser constants messages client benchmarks.benchmark exporters"


def done(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), env=OUTSIDE | environment, capture_output=True, text=True, timeout=600, cwd="/"
    )


def must(*command: str | Path, **environment: str) -> str:
    ended = done(*command, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def build(source: Path, kind: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_of_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sdist, folder = build(ROOT, "sdist", tmp_path_factory.mktemp("sdist")), tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build(source, "wheel", tmp_path_factory.mktemp("wheel-of-sdist"))


def install(wheel: Path, python: str, folder: Path, extras: str = "") -> Path:
    """Install a wheel in an environment of its own, at the versions that the other tests run on."""
    must(UV, "venv", "--quiet", "--python", python, folder)
    # A constraint's hash would be asked of the wheel too.
    constraints = folder / "constraints.txt"
    constraints.write_text(re.sub(r" \\\n +--hash=\S+", "", (ROOT / "requirements.txt").read_text()))
    requirement = f"metriq-gym-services{extras} @ {wheel.as_uri()}"
    must(UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python", "-c", constraints, requirement)
    return folder / "bin"


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


def test_a_wheel_takes_no_name_that_may_be_another_s(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"metriq_gym", "metriq_gym_services", f"metriq_gym_services-{metadata(wheel)['Version']}.dist-info"}
    assert "metriq_gym/py.typed" in names
    assert "metriq_gym/schemas/wit.schema.json" in names
    assert not [name for name in names if "__pycache__" in name]


def test_a_wheel_says_what_it_is(wheel: Path) -> None:
    found = metadata(wheel)
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Author"]
    assert found.get_all("Project-URL")
    assert "Typing :: Typed" in (found.get_all("Classifier") or [])
    assert {f"Programming Language :: Python :: {each}" for each in ("3.11", "3.12", "3.13")} <= set(
        found.get_all("Classifier") or []
    )
    needed = [each for each in found.get_all("Requires-Dist") or [] if "extra ==" not in each]
    assert not {"psutil", "loky", "qiskit", "numpy", "matplotlib"} & {re.split(r"[^\w-]", each)[0] for each in needed}


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, wheel_of_sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(wheel_of_sdist) as other:
        assert {each.filename: each.CRC for each in one.infolist()} == {
            each.filename: each.CRC for each in other.infolist()
        }


@pytest.fixture(scope="module", params=PYTHONS)
def plain(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a plain installation."""
    return install(wheel, PYTHONS[request.param], tmp_path_factory.mktemp("plain") / "venv")


def test_a_plain_installation_is_a_client(plain: Path, tmp_path: Path) -> None:
    assert must(plain / "mgym", "--version").strip()
    assert "Quantum Volume" in must(plain / "mgym", "benchmarks")
    must(plain / "python", "-c", "".join(f"import metriq_gym.{face}\n" for face in FACES.split()))
    found = must(
        plain / "python", "-c", "import importlib.util as u; print(u.find_spec('services'), u.find_spec('numpy'))"
    )
    assert found == "None None\n"


@pytest.mark.parametrize(
    ("command", "extra"),
    [("run wit.example.json", "embedded"), ("devices", "embedded"), ("service run all", "embedded")],
)
def test_what_a_plain_installation_lacks_is_one_line(plain: Path, tmp_path: Path, command: str, extra: str) -> None:
    variables = {"METRIQ_DATA_DIR": str(tmp_path), "METRIQ_TYXONQ_TOKEN": "a-token", "PATH": "/nowhere"}
    ended = done(plain / "mgym", *command.split(), **variables)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert f"pip install 'metriq-gym-services[{extra}]'" in line


def test_beside_metriq_gym_it_refuses_to_guess_whose_files_these_are(plain: Path) -> None:
    folder = must(plain / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    other = Path(folder) / "metriq_gym-0.9.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: metriq-gym\nVersion: 0.9.0\n")
    try:
        ended = done(plain / "mgym", "benchmarks")
    finally:
        (other / "METADATA").unlink()
        other.rmdir()
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "metriq-gym is installed in this environment too" in line


@pytest.fixture(scope="module")
def servers(amqp_broker: Broker, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings of a client of this repository's services, which run meanwhile."""
    folder = tmp_path_factory.mktemp("servers")
    with virtual_host(amqp_broker) as amqp_url, (folder / "log").open("wb") as log:
        environment = {
            "METRIQ_AMQP_URL": amqp_url,
            "METRIQ_MONGO_URL": mongo_url,
            "METRIQ_MONGO_DATABASE": f"test_{secrets.token_hex(6)}",
            "METRIQ_DATA_DIR": str(folder),
            "METRIQ_WORKERS": "1",
            "METRIQ_HTTP_PORT": str(free_port()),
        }
        running = [*MGYM, "service", "run", "all"]
        process = subprocess.Popen(running, env=os.environ | environment, stdout=log, stderr=log)
        try:
            yield environment
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0, (folder / "log").read_text()
        finally:
            process.kill()


def test_a_plain_installation_has_servers_run_a_job_and_looks_at_it(
    plain: Path, servers: dict[str, str], tmp_path: Path
) -> None:
    record = json.loads(must(plain / "mgym", "run", "wit.example.json", "--json", **servers))
    assert record["results"]["score"]["value"] > 0.9
    assert "WIT" in must(plain / "mgym", "job", "list", **servers)
    assert "local/aer_simulator" in must(plain / "mgym", "job", "view", "latest", **servers)
    assert "branch: mgym/upload-" in must(plain / "mgym", "job", "upload", "latest", "--dry-run", **servers)
    plot = done(plain / "mgym", "job", "list", "--plot", str(tmp_path / "plot.png"), **servers)
    assert plot.returncode == 1
    assert "pip install 'metriq-gym-services[plots]'" in plot.stderr.splitlines()[-1]
    assert "expectation_value" in must(plain / "mgym", "results", "--format", "csv", **servers)
    parquet = done(plain / "mgym", "results", "--format", "parquet", "--output", str(tmp_path / "results"), **servers)
    frame = done(plain / "python", "-c", "from metriq_gym.results import frame; frame()", **servers)
    for refused in (parquet, frame):
        assert refused.returncode == 1
        assert "pip install 'metriq-gym-services[frames]'" in refused.stderr.splitlines()[-1]
    script = "from metriq_gym.job_manager import JobManager; print(bool(JobManager().get_jobs()))"
    assert must(plain / "python", "-c", script, **servers) == "True\n"


@pytest.mark.parametrize("version", PYTHONS)
def test_with_everything_it_runs_jobs_by_itself(wheel_of_sdist: Path, version: str, tmp_path: Path) -> None:
    programs = install(wheel_of_sdist, PYTHONS[version], tmp_path / "venv", "[embedded]")
    environment = {"METRIQ_DATA_DIR": str(tmp_path / "data"), "METRIQ_WORKERS": "1"}
    record = json.loads(must(programs / "mgym", "run", "wit.example.json", "--json", **environment))
    assert record["results"]["score"]["value"] > 0.9
    must(programs / "mgym", "job", "view", "latest", "--plot", tmp_path / "plot.svg", **environment)
    assert (tmp_path / "plot.svg").exists()


def test_uv_installs_the_command_as_a_tool(wheel: Path, tmp_path: Path) -> None:
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    must(UV, "tool", "install", "--quiet", "--python", sys.executable, wheel, **places)
    assert [each.name for each in (tmp_path / "bin").iterdir()] == ["mgym"]
    assert must(tmp_path / "bin" / "mgym", "--version").strip()


def test_pipx_installs_the_command_as_a_tool(wheel: Path, tmp_path: Path) -> None:
    places = {"PIPX_HOME": tmp_path / "home", "PIPX_BIN_DIR": tmp_path / "bin", "PIPX_MAN_DIR": tmp_path / "man"}
    environment = {**places, "PIPX_DEFAULT_PYTHON": sys.executable, "UV_TOOL_DIR": tmp_path / "tools"}
    pipx = (UV, "tool", "run", "--quiet", "--python", sys.executable, "--from", PIPX, "pipx")
    must(*pipx, "install", "--quiet", wheel, **{name: str(value) for name, value in environment.items()})
    assert [each.name for each in (tmp_path / "bin").iterdir()] == ["mgym"]
    assert must(tmp_path / "bin" / "mgym", "--version").strip()
