"""Passwords, bills of materials and the audit: what `make up`, `make sbom` and `make audit` make of the files here."""

from __future__ import annotations

import importlib.util
import json
import re
import stat
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()


def script(name: str) -> ModuleType:
    """A script of deploy/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


passwords, audit = script("passwords"), script("audit")


def written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (folder / "docker-compose.yml").write_text(COMPOSE)
    monkeypatch.setattr(passwords, "ROOT", folder)
    passwords.main()
    return dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())


def test_every_password_is_random_and_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = written(tmp_path, monkeypatch)
    assert set(env) == set(re.findall(r"\$\{(\w*(?:PASSWORD|KEY|TOKEN)):-", COMPOSE))
    assert len(set(env.values())) == len(env)
    assert all(re.fullmatch("[0-9a-f]{40}", value) for value in env.values())
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob(".env*")] == [".env"]


def test_passwords_that_exist_are_kept_and_missing_ones_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("MONGO_KEY=mine\nRESULTS=./results")
    env = written(tmp_path, monkeypatch)
    assert (env["MONGO_KEY"], env["RESULTS"]) == ("mine", "./results")
    assert written(tmp_path, monkeypatch) == env


def test_every_image_has_a_valid_and_complete_bill_of_materials(tmp_path: Path) -> None:
    # cyclonedx-py refuses to write what its own strict schema does not accept.
    subprocess.run(["make", "-C", str(ROOT), f"SBOM={tmp_path}", "sbom"], check=True, capture_output=True)
    for name in images():
        lock = ROOT / "deploy" / "requirements" / f"{name}.txt"
        bill = json.loads((tmp_path / f"{name}.cdx.json").read_text())
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
        listed = {f"{each['name']}=={each['version']}" for each in bill["components"]}
        assert listed == set(re.findall(r"^[\w.-]+==\S+", lock.read_text(), re.MULTILINE))
        assert all(each["externalReferences"][0]["hashes"] for each in bill["components"])


def images() -> list[str]:
    """The images that `make images` builds."""
    (line,) = (each for each in (ROOT / "Makefile").read_text().splitlines() if each.startswith("IMAGES := "))
    return line.split()[2:]


def test_audit_fails_for_a_known_vulnerability() -> None:
    code, lines = audit.verdict([{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}])
    assert code == 1
    assert "a 1: CVE-1" in lines


def test_audit_says_when_it_could_not_look() -> None:
    for nothing in ([], [{"name": "a", "skip_reason": "not found"}]):
        code, (line,) = audit.verdict(nothing)
        assert code == 0
        assert "NOT RUN" in line
