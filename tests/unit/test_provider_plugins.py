"""Providers come in by entry points, ours as others'; what is wrong with one is told in a line and stops no other."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import EntryPoints
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from metriq_gym.cli import app
from metriq_gym.errors import NotFound, Permanent
from metriq_gym.operations import doctor
from metriq_gym.parts import MissingPart
from metriq_gym.providers import Providers, names, plugin
from metriq_gym.providers.plugin import NotSetUp, installed
from metriq_gym.settings import Settings
from metriq_gym.telemetry import logs
from metriq_gym.testing import ToldProvider, offered

ROOT = Path(__file__).parents[2]
Install = Callable[..., Path]

TOY = """
from metriq_gym.providers.plugin import ProviderPlugin
from metriq_gym.providers.provider import Device
from metriq_gym.settings import ProviderSettings
from metriq_gym.testing import ToldProvider
from pydantic import Field, SecretStr

class ToySettings(ProviderSettings, env_prefix="METRIQ_TOY_"):
    needs = ("api_key",)
    api_key: SecretStr | None = Field(default=None, description="Key for the toy.")
    qubits: int = Field(default=2, ge=1, description="How many it has.")

def opened(settings):
    return ToldProvider([Device("toy", "bear", settings.of(ToySettings).qubits, False)], name="toy")

PLUGIN = ProviderPlugin(opened, ToySettings)
"""
PLAIN = "from metriq_gym.providers.plugin import ProviderPlugin\n"
BROKEN = {
    "import": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "exit": ("raise SystemExit('bye\\nbye')", "SystemExit: bye bye"),
    "nothing": ("", "AttributeError"),
    "other": ("PLUGIN = dict", "TypeError: toy:PLUGIN is no ProviderPlugin"),
    "prefix": (TOY.replace("METRIQ_TOY_", "METRIQ_"), "TypeError: its settings must have the prefix METRIQ_TOY_"),
    "secret": (TOY.replace("api_key", "api_word"), "TypeError: ToySettings.api_word is a secret"),
}
UNUSABLE = {
    "raises": (PLAIN + "PLUGIN = ProviderPlugin(lambda _: 1 / 0)", "ZeroDivisionError"),
    "needs": (PLAIN + "def opened(_):\n    import no_such_module\nPLUGIN = ProviderPlugin(opened)", "no_such_module"),
    "kind": (PLAIN + "PLUGIN = ProviderPlugin(lambda _: object())", "object is no RemoteProvider: it has no aclose, "),
    "local": (TOY.replace("opened, ToySettings", "opened, is_local=True"), "is no LocalProvider: it has no simulation"),
    "name": (TOY.replace('name="toy"', 'name="doll"').replace('"api_key",', ""), "it calls itself 'doll'"),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package with one module, and an entry point for its ``PLUGIN``, where packages are looked for."""

    def put(source: str, name: str = "toy", package: str = "metriq-toy") -> Path:
        folder = tmp_path / package
        metadata = folder / f"{package.replace('-', '_')}-1.dist-info"
        metadata.mkdir(parents=True)
        (folder / f"{name}.py").write_text(source)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text(f"[metriq_gym.providers]\n{name} = {name}:PLUGIN\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, name, raising=False)
        installed.cache_clear()
        return folder

    yield put
    sys.modules.pop("toy", None)
    installed.cache_clear()


def test_ours_come_in_by_the_same_door() -> None:
    assert names() == ["ibm", "local", "tyxonq"]
    kinds = {name: each.is_local for name, each in installed().plugins.items()}
    assert kinds == {"ibm": False, "local": True, "tyxonq": False}
    assert installed().broken == {}


def test_images_and_older_checkouts_have_ours_without_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "entry_points", lambda **_: EntryPoints())
    installed.cache_clear()
    assert names() == ["ibm", "local", "tyxonq"]
    assert [*installed().plugins] == ["ibm", "local", "tyxonq"]
    installed.cache_clear()


def test_those_are_the_ones_that_the_package_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][plugin.GROUP]
    assert declared == {each.name: each.value for each in plugin.OURS}


async def test_an_installed_provider_is_there_with_its_settings(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(TOY)
    assert names() == ["ibm", "local", "toy", "tyxonq"]
    with pytest.raises(NotSetUp, match="'toy' needs a api key: set METRIQ_TOY_API_KEY, or METRIQ_TOY_API_KEY_FILE"):
        Providers(Settings()).get("toy")
    (tmp_path / "key").write_text("key-of-toy\n")
    monkeypatch.setenv("METRIQ_TOY_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("METRIQ_TOY_QUBITS", "3")
    assert [each.num_qubits for each in await Providers(Settings()).get("toy").devices()] == [3]
    assert [each.num_qubits for each in await Providers(Settings(toy_qubits=4)).get("toy").devices()] == [4]
    monkeypatch.setenv("METRIQ_TOY_QUBITS", "none")
    for refuse in (lambda: Providers(Settings()).get("toy"), lambda: Providers(Settings()).check_settings()):
        with pytest.raises(Permanent, match="'toy' is not set as it must be: METRIQ_TOY_QUBITS: Input should be"):
            refuse()


def test_a_secret_whose_file_is_not_there_keeps_a_service_from_starting(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(TOY)
    monkeypatch.setenv("METRIQ_TOY_API_KEY_FILE", str(tmp_path / "absent"))
    with pytest.raises(Permanent, match=r"'toy': cannot use .*absent: No such file or directory"):
        Providers(Settings()).check_settings()


def test_no_log_shows_a_plug_ins_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key-of-toy\n")
    monkeypatch.setenv("METRIQ_TOY_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("METRIQ_TOY_TOKEN", "token-of-toy")
    monkeypatch.setenv("METRIQ_TOY_KEYBOARD", "qwertz")
    assert set(logs.secrets_of(Settings(toy_password="pw-of-toy"))) == {
        "key-of-toy",
        "token-of-toy",
        "pw-of-toy",
    }


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plug_in_is_one_line_and_stops_no_other(install: Install, kind: str) -> None:
    source, reason = BROKEN[kind]
    install(source)
    providers = Providers(Settings())
    assert [*providers.local()] == ["local"]
    with pytest.raises(Permanent, match="provider 'toy' of the package metriq-toy cannot be loaded") as refused:
        providers.get("toy")
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    with capture_logs() as lines:
        providers.tell_broken()
    assert [line["reason"] for line in lines] == [str(refused.value)]


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_provider_that_cannot_be_opened_is_left_out(install: Install, kind: str) -> None:
    source, reason = UNUSABLE[kind]
    install(source)
    providers = Providers(Settings())
    with pytest.raises(Permanent, match="provider 'toy' cannot be opened") as refused:
        providers.get("toy")
    assert reason in str(refused.value)
    with capture_logs() as lines:
        assert [*providers.local()] == ["local"]
        assert providers.remote() == []
    assert [line["reason"] for line in lines] == [str(refused.value)]


async def test_a_provider_that_cannot_be_closed_keeps_no_other_open() -> None:
    closed = []

    class Stuck(ToldProvider):
        async def aclose(self) -> None:
            closed.append(self.name)
            raise OSError("stuck")

    providers = Providers(Settings())
    with capture_logs() as lines, ExitStack() as stack:
        for name in ("one", "two"):
            stack.enter_context(offered(Stuck([], name=name)))
            providers.get(name)
        await providers.aclose()
    assert closed == ["one", "two"]
    assert [line["reason"] for line in lines] == [
        f"provider {each!r} cannot be closed: OSError: stuck" for each in closed
    ]


def test_a_provider_that_lacks_a_part_of_ours_is_told_what_to_install_and_stops_no_other(install: Install) -> None:
    install(PLAIN + "def opened(_):\n    raise ModuleNotFoundError(name='httpx')\nPLUGIN = ProviderPlugin(opened)")
    providers = Providers(Settings())
    with pytest.raises(MissingPart, match=r"pip install 'metriq-gym-services\[embedded\]'"):
        providers.get("toy")
    with capture_logs() as lines:
        assert providers.remote() == []
    assert ["no module httpx" in line["reason"] for line in lines] == [True]


def test_no_package_takes_anothers_name(install: Install) -> None:
    install(PLAIN + "PLUGIN = ProviderPlugin(lambda _: 1 / 0)", name="local", package="metriq-mine")
    assert [*Providers(Settings()).local()] == ["local"]
    assert (
        "of the package metriq-mine cannot be loaded: TypeError: another package" in installed().broken["metriq-mine"]
    )


def test_an_unknown_provider_is_told_what_there_is(install: Install) -> None:
    install(TOY)
    with pytest.raises(
        NotFound, match=r"unknown provider 'toi' \(did you mean 'toy'\?\); there are: ibm, local, tyxonq, toy"
    ):
        Providers(Settings()).get("toi")


def test_devices_are_listed_without_those_of_a_provider_that_cannot_be_asked(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(BROKEN["import"][0], name="rag", package="metriq-rag")
    install(TOY.replace("ToldProvider([Device", "ToldProvider(None and [Device"))
    monkeypatch.setenv("METRIQ_TOY_API_KEY", "key-of-toy")
    listed = CliRunner().invoke(app, ["devices", "--json"])
    assert listed.exit_code == 0
    assert {each["provider"] for each in json.loads(listed.stdout)} == {"local"}
    said = [line for line in listed.stderr.splitlines() if "left out" in line]
    assert len(said) == 4, "ibm and tyxonq, which have no token, and both of these"
    assert "toy left out: TypeError: 'NoneType' object is not iterable" in listed.stderr
    assert "rag left out: provider 'rag' of the package metriq-rag cannot be loaded" in listed.stderr


async def test_the_doctor_lists_what_can_be_set_and_what_is_broken(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(BROKEN["import"][0], name="rag", package="metriq-rag")
    install(TOY)
    monkeypatch.setenv("METRIQ_TOY_API_KEY", "key-of-toy")
    found = {each.subject: each async for each in doctor.providers_of(Settings())}
    assert found["provider toy"].found == "bear online"
    assert found["toy settings"].found == "METRIQ_TOY_API_KEY (set), METRIQ_TOY_QUBITS"
    assert found["provider rag"].verdict is doctor.Verdict.BAD
    assert (found["provider tyxonq"].verdict, found["provider tyxonq"].found) == (doctor.Verdict.NOTE, "no token")
    assert not any("key-of-toy" in each.found for each in found.values())


WALLS = """
import sys
from importlib.metadata import entry_points
import metriq_gym.client, metriq_gym.client.client, metriq_gym.results, metriq_gym.job_manager
for each in entry_points(group="metriq_gym.services"):
    if each.name in ("scorer", "exporter", "console"):
        each.load()
assert "toy" not in sys.modules
each = [each.load() for each in entry_points(group="metriq_gym.services") if each.name in ("dispatcher", "poller")]
assert "toy" not in sys.modules, "not before there is a service"
from metriq_gym.providers import Providers
from metriq_gym.settings import Settings
Providers(Settings()).remote()
assert "toy" in sys.modules
"""


@pytest.mark.slow
def test_only_who_asks_providers_loads_plug_ins(install: Install) -> None:
    folder = install(TOY)
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{WALLS}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
