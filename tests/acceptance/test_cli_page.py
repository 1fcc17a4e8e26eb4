"""docs/cli.md is true: its commands still run, and end as they did when it was recorded."""

from __future__ import annotations

import os
from pathlib import Path

from metriq_gym.client.session import Session
from metriq_gym.settings import Settings
from tests.acceptance.transcripts import INTRODUCTION, PAGE, TASKS, prepare, recorded, run


def test_the_page_has_its_tasks() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(TASKS) == 15
    assert text.startswith(INTRODUCTION)
    assert all(f"## {title}\n\n{words}" in text for title, (words, _) in TASKS.items())
    assert [command for command, _ in recorded()] == [each for _, commands in TASKS.values() for each in commands]


def test_every_command_on_the_page_ends_as_it_did(tmp_path: Path) -> None:
    prepare(tmp_path)
    environment = {**os.environ, "METRIQ_DATA_DIR": str(tmp_path / "data"), "METRIQ_WORKERS": "1"}
    session = Session(Settings(data_dir=tmp_path / "data", workers=1))
    session.on_store(lambda store: store.answers())  # so that no command need start the private database
    try:
        for command, code in recorded():
            assert run(command, environment, tmp_path)[0] == code, command
    finally:
        session.close()
