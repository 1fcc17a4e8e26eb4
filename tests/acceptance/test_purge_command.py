"""``mgym purge``: a dry run tells what a purge does, and a purge leaves nothing to a second one."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metriq_gym.cli.errors import USAGE
from metriq_gym.client.session import Session
from metriq_gym.jobs import JobState
from metriq_gym.service import purging
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from tests.support.jobs import counted_task, ended_job
from tests.support.terminal import mgym_here


def test_purge_does_what_its_dry_run_says_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "AT_ONCE", 2)  # so that there are several steps
    here = {**os.environ, "METRIQ_DATA_DIR": str(tmp_path)}
    options = ["--counts-after", "90", "--jobs-after", "730"]

    def told(*more: str) -> list[str]:
        ran = mgym_here(here, "purge", *more)
        assert ran.returncode == 0, ran.stderr
        return ran.stderr.splitlines()

    async def fill(store: Store) -> None:
        for days, name in ((10, "young"), (100, "a"), (100, "b"), (100, "c"), (800, "x"), (800, "y"), (800, "z")):
            at = datetime.now(UTC) - timedelta(days=days)
            await store.records.add(ended_job(name, state=JobState.EXPORTED, updated_at=at))
            await store.tasks.insert([counted_task(name)])

    async def left(store: Store) -> dict[str, int]:
        return {name: await store.retention.bulky([name]) for name in ("young", "a", "x") if await there(store, name)}

    async def there(store: Store, name: str) -> bool:
        return not await store.jobs.unseen([name]) and not await store.records.is_deleted(name)

    with closing(Session(Settings(data_dir=tmp_path))) as session:
        session.on_store(fill)
        assert mgym_here(here, "purge").returncode == USAGE
        assert told(*options, "--dry-run") == ["would go: 3 jobs", "would go: circuits and counts of 3 tasks"]
        assert session.on_store(left) == {"young": 1, "a": 1, "x": 1}
        assert told(*options, "--yes") == ["gone: 3 jobs", "gone: circuits and counts of 3 tasks"]
        assert session.on_store(left) == {"young": 1, "a": 0}
        assert told(*options, "--yes") == ["gone: 0 jobs", "gone: circuits and counts of 0 tasks"]
