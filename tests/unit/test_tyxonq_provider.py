"""The provider ``tyxonq``: devices, the flags after their ids, and settings."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import httpx
import pytest

from metriq_gym.errors import InvalidRequest, NotFound, Permanent
from metriq_gym.providers import Providers
from metriq_gym.providers.provider import Provider
from metriq_gym.providers.tyxonq.counts import CountsOrder
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.plugin import TyxonQSettings
from metriq_gym.providers.tyxonq.provider import TyxonQProvider
from metriq_gym.settings import Settings
from tests.support.tyxonq import HOMEBREW, TOKEN, Service, ok

CALIBRATION = {
    "t1_us": 84.44615173339844,
    "t2_us": 45.41538619995117,
    "single_qubit_gate_error": 0.0007843076923076923,
    "cz_gate_error": 0.009009666666666666,
    "readout_error_0": 0.016538461538461537,
    "readout_error_1": 0.04118461538461538,
}


def provider(*rows: dict[str, Any], **options: Any) -> TyxonQProvider:
    return TyxonQProvider(Service(ok({"devices": rows or [HOMEBREW]})).client(), **options)


# Device strings


@pytest.mark.parametrize(
    ("text", "options", "dry", "submitted"),
    [
        ("homebrew_s2", 0, False, "homebrew_s2?o=0"),
        *((f"homebrew_s2?o={o}", o, False, f"homebrew_s2?o={o}") for o in range(8)),
        *((f"homebrew_s2?o={o}&dry", o, True, f"homebrew_s2?o={o}&dry") for o in range(8)),
    ],
)
def test_every_documented_device_string_is_understood(text: str, options: int, dry: bool, submitted: str) -> None:
    parsed = DeviceString.parse(text)
    assert (parsed.id, parsed.options, parsed.dry, str(parsed)) == ("homebrew_s2", options, dry, submitted)
    assert DeviceString.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "o",
        "o=",
        "o=8",
        "o=-1",
        "o=03",
        "o=3.0",
        "o=x",
        "O=3",
        "dry",
        "dry&o=3",
        "o=3&",
        "o=3&dry&dry",
        "o=3&wet",
        "o=3&dry ",
        "o=3?o=3",
        "o=3\n",
        "o=٣",
        "p=1",
    ],
)
def test_flags_that_do_not_exist_are_refused_with_those_that_do(flags: str) -> None:
    with pytest.raises(InvalidRequest, match=r"homebrew_s2\?o=N.*0 to 7.*&dry") as caught:
        DeviceString.parse(f"homebrew_s2?{flags}")
    (problem,) = caught.value.problems
    assert problem.path == "$.device"


@pytest.mark.parametrize("text", ["", "?o=3", " homebrew_s2", "a b", "../x", "d" * 129, "a\n", "a&dry"])
def test_text_that_is_no_device_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="not a device id"):
        DeviceString.parse(text)


# Devices


async def test_devices_are_listed_with_status_qubits_and_calibration() -> None:
    (device,) = await provider().devices()
    assert (device.provider, device.id, device.num_qubits) == ("tyxonq", "homebrew_s2", 13)
    assert (device.simulator, device.status, device.edges) == (False, "online", None)
    assert device.metadata == {"flags": "o=0", **CALIBRATION}


@pytest.mark.parametrize(
    ("state", "status"), [("running", "online"), ("maintenance", "maintenance"), (None, "unknown")]
)
async def test_status_is_online_only_for_a_device_that_takes_circuits(state: str | None, status: str) -> None:
    device = await provider(HOMEBREW | {"state": state}).device("homebrew_s2")
    assert device.status == status


async def test_flags_stay_with_the_device_but_out_of_its_name() -> None:
    device = await provider().device("homebrew_s2?o=3&dry")
    assert device.id == "homebrew_s2"
    assert device.metadata["flags"] == "o=3&dry"
    assert str(DeviceString.of(device)) == "homebrew_s2?o=3&dry"
    assert str(DeviceString.of(await provider().device("homebrew_s2"))) == "homebrew_s2?o=0"


async def test_undocumented_fields_are_kept_in_bounds_and_hide_no_others() -> None:
    row = HOMEBREW | {
        "memo": "quiet",
        "simulator": True,
        "big": 2**80,
        "deep": {"a": [1, 2]},
        "long": "x" * 5000,
        "$set": 1,
        "a.b": 2,
        "Err": HOMEBREW["Err"] | {"CX": 0.5},  # type: ignore[operator]
    }
    device = await provider(row).device("homebrew_s2")
    extra = device.metadata["extra_fields"]
    assert extra == {
        "memo": "quiet",
        "simulator": True,
        "big": str(2**80),
        "deep": '{"a": [1, 2]}',
        "long": '"' + "x" * 999,
        "_set": 1,
        "a_b": 2,
        "Err_CX": 0.5,
    }
    assert set(device.metadata) == {"flags", "extra_fields", *CALIBRATION}
    assert json.loads(json.dumps(device.metadata, allow_nan=False)) == device.metadata


async def test_thousands_of_undocumented_fields_are_not_kept() -> None:
    fields = HOMEBREW | {f"field_{i}": "1e999" for i in range(5000)}
    body = json.dumps({"devices": [fields]}).replace('"1e999"', "1e999")
    answer = httpx.Response(200, content=body, headers={"content-type": "application/json"})
    device = await TyxonQProvider(Service(answer).client()).device("homebrew_s2")
    assert len(json.dumps(device.metadata, allow_nan=False)) < 10_000


async def test_unknown_device_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFound, match=r"'homebrew_s3'.*homebrew_s2"):
        await provider().device("homebrew_s3?o=3")


async def test_wrong_flags_are_refused_before_the_service_is_asked() -> None:
    service = Service(ok({"devices": [HOMEBREW]}))
    with pytest.raises(InvalidRequest):
        await TyxonQProvider(service.client()).device("homebrew_s2?o=9")
    assert not service.requests


async def test_device_of_unknown_size_is_not_offered() -> None:
    sizeless = provider({"id": "fog"}, HOMEBREW)
    assert [device.id for device in await sizeless.devices()] == ["homebrew_s2"]
    with pytest.raises(InvalidRequest, match="how many qubits fog has"):
        await sizeless.device("fog")


async def test_configured_coupling_map_becomes_the_devices_edges() -> None:
    device = await provider(coupling_map=((0, 1), (1, 12))).device("homebrew_s2")
    assert device.edges == ((0, 1), (1, 12))


async def test_coupling_map_that_does_not_fit_the_device_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="METRIQ_TYXONQ_COUPLING_MAP names qubit 13"):
        await provider(coupling_map=((0, 1), (1, 13))).device("homebrew_s2")


# Settings


def settings(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"METRIQ_{name}", value)
    return Settings()


def test_without_a_token_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for values in ({}, {"TYXONQ_TOKEN": ""}):
        with pytest.raises(Permanent, match="METRIQ_TYXONQ_TOKEN"):
            Providers(settings(monkeypatch, **values)).get("tyxonq")


def test_without_a_token_local_providers_are_there() -> None:
    assert set(Providers(Settings()).local()) == {"local"}


async def test_settings_reach_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Providers(
        settings(
            monkeypatch,
            TYXONQ_TOKEN=f" {TOKEN}\n",
            TYXONQ_BASE_URL="http://sandbox:8000/api",
            TYXONQ_COUNTS_ORDER="qiskit",
            TYXONQ_COUPLING_MAP="[[0, 1], [1, 2]]",
        )
    ).get("tyxonq")
    assert isinstance(made, TyxonQProvider)
    assert made.counts_order is CountsOrder.QISKIT
    assert str(made.client.base_url) == "http://sandbox:8000/api"
    assert made.client.credential.admit().get_secret_value() == TOKEN
    assert made._coupling_map == ((0, 1), (1, 2))
    await made.aclose()


def test_settings_never_show_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in (settings(monkeypatch, TYXONQ_TOKEN=TOKEN), Settings(tyxonq_token=TOKEN)):
        for shown in (given, given.of(TyxonQSettings)):
            assert TOKEN not in f"{shown} {shown!r} {shown.model_dump()} {shown.model_dump_json()}"


def test_coupling_map_comes_from_a_file_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "map.json").write_text("[[3, 4]]\n")
    read = settings(monkeypatch, TYXONQ_COUPLING_MAP_FILE=str(tmp_path / "map.json")).of(TyxonQSettings)
    assert read.coupling_map == ((3, 4),)
    assert settings(monkeypatch, TYXONQ_COUPLING_MAP="").of(TyxonQSettings).coupling_map is None


@pytest.mark.parametrize("text", ["[[0]]", "[[0, -1]]", "{}", "[[0, 1", "[0, 1]"])
def test_coupling_map_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    given = settings(monkeypatch, TYXONQ_TOKEN=TOKEN, TYXONQ_COUPLING_MAP=text)
    with pytest.raises(Permanent, match="'tyxonq' is not set as it must be: METRIQ_TYXONQ_COUPLING_MAP"):
        Providers(given).get("tyxonq")
    assert set(Providers(given).local()) == {"local"}


def test_provider_fits_the_port_and_its_compiler_can_travel() -> None:
    made: Provider = provider()
    assert (made.name, made.max_circuits_per_task) == ("tyxonq", 1)
    assert pickle.loads(pickle.dumps(made.compiler)) == made.compiler


def test_importing_the_providers_loads_no_http_library_and_no_qiskit() -> None:
    program = (
        "import sys, metriq_gym.providers\n"
        "sys.exit(', '.join({name.split('.')[0] for name in sys.modules} & {'httpx', 'qiskit', 'tenacity'}) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
