"""``mgym backup`` and ``mgym restore`` without servers: what is there moves to another folder."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

from metriq_gym.cli.errors import FAILED, USAGE
from metriq_gym.client.session import Session
from metriq_gym.jobs import Job
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from tests.support.jobs import ended_job
from tests.support.terminal import mgym_here


def test_a_private_database_moves_to_another_folder(tmp_path: Path) -> None:
    old, new = ({**os.environ, "METRIQ_DATA_DIR": str(tmp_path / name)} for name in ("old", "new"))
    file = str(tmp_path / "metriq.backup")
    job = ended_job("kept")

    async def add(store: Store) -> bool:
        return await store.records.add(job)

    with closing(Session(Settings(data_dir=tmp_path / "old"))) as session:
        session.on_store(add)
        made = mgym_here(old, "backup", file)
        assert (made.returncode, made.stdout) == (0, "")
        assert "1 jobs, 0 tasks, 0 suites, 0 schedules" in made.stderr
        again = mgym_here(old, "backup", file)
        assert again.returncode == FAILED
        assert "--force replaces it" in again.stderr
        assert mgym_here(old, "backup", file, "--force").returncode == 0
    (tmp_path / "other.json").write_text("{}")
    with closing(Session(Settings(data_dir=tmp_path / "new"))) as session:
        session.on_store(lambda store: store.answers())  # so that no command need start the private database
        wrong = mgym_here(new, "restore", str(tmp_path / "other.json"))
        assert wrong.returncode == USAGE
        assert "is no backup of this store" in wrong.stderr
        assert "restored 1 jobs" in mgym_here(new, "restore", file).stderr
        assert json.loads(mgym_here(new, "job", "list", "--json").stdout)[0]["id"] == "kept"
        assert "not empty" in mgym_here(new, "restore", file).stderr

        async def look(store: Store) -> Job:
            return await store.jobs.get("kept")

        assert session.on_store(look) == job
