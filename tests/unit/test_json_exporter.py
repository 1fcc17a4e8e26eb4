"""A record's file is whole or not there, and below the configured folder whatever a job is called."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym.errors import OutOfReach, Permanent, Transient
from metriq_gym.exporters.json_exporter import JSONExporter, record_path
from metriq_gym.exporters.record import make_record
from tests.support.jobs import ended_job


def test_the_file_holds_the_record(tmp_path: Path) -> None:
    path = JSONExporter(ended_job()).export(output_path=tmp_path / "new" / "result.json")
    assert path == tmp_path / "new" / "result.json"
    assert json.loads(path.read_text()) == make_record(ended_job())


def test_a_file_of_that_name_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    JSONExporter(ended_job(), {"score": 1}).export(output_path=str(path))
    assert json.loads(path.read_text())["results"] == {"score": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_record_that_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises(Permanent, match="JSON"):
        JSONExporter(ended_job(), {"score": float("inf")}).export(output_path=path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, words in (("folder", "Is a directory"), (300 * "x", "File name too long")):
        with pytest.raises(Permanent, match=rf"cannot write .*{name}: {words}"):
            JSONExporter(ended_job()).export(output_path=tmp_path / name)


def test_something_else_in_place_of_the_folder_passes(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "unmounted" / "share")
    for path in ("file/result.json", "file/new/result.json", "link/result.json"):
        with pytest.raises(OutOfReach, match=rf"cannot write .*{path}: "):
            JSONExporter(ended_job()).export(output_path=tmp_path / path)


def test_a_full_disk_is_for_later_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Transient, match="No space left"):
        JSONExporter(ended_job()).export(output_path=tmp_path / "result.json")
    assert os.listdir(tmp_path) == []


@given(st.text() | st.sampled_from(["..", "../x", "/etc/passwd", "a/b", "a/../b", "x\0y", "."]))
def test_no_id_names_a_file_outside_the_root(job_id: str) -> None:
    root = Path("/srv/results")
    try:
        path = record_path(root, job_id)
    except Permanent:
        return
    assert path.parent == root
    assert Path(os.path.normpath(path)).parent == root


@pytest.mark.parametrize(
    "number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTCONN, errno.ETIMEDOUT, errno.EDQUOT]
)
def test_what_the_environment_does_to_a_file_passes(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", fail)
    with pytest.raises(OutOfReach, match="cannot write"):
        JSONExporter(ended_job()).export(tmp_path / "result.json")
