"""Finding a MongoDB server on a machine that lacks something."""

from __future__ import annotations

import ctypes
import shutil

import pytest

from metriq_gym.store.private_mongod import MongodUnavailable, find_binary


def test_a_carried_server_whose_library_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(MongodUnavailable, match="apt install libcurl4"):
        find_binary()
