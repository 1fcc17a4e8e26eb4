"""Finding a MongoDB server on a machine that lacks something."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest

from metriq_gym.store.private_mongod import MongodUnavailable, find_binary, private_mongod


def test_a_carried_server_whose_library_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(MongodUnavailable, match="apt install libcurl4"):
        find_binary()


async def test_a_server_that_does_not_start_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false")
    with pytest.raises(MongodUnavailable, match=r"exit code 1 .*; its log is .*mongod\.log"):
        async with private_mongod(tmp_path):
            pass


async def test_a_folder_that_cannot_hold_data_is_named_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MongodUnavailable, match=r"cannot keep data in .*file/mongod: .*METRIQ_DATA_DIR"):
        async with private_mongod(tmp_path / "file" / "mongod"):
            pass
