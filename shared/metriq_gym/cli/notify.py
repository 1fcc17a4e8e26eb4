"""``mgym notify``."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import typer

from metriq_gym.cli.errors import FAILED, Usage
from metriq_gym.cli.output import say
from metriq_gym.errors import MetriqGymError
from metriq_gym.exporters.senders import open_sender, senders
from metriq_gym.jobs.notices import Notice
from metriq_gym.settings import Settings


def test() -> None:
    """Send a notification by each way that is set.

    As the exporter would, with this process's settings and its network.
    """
    settings = Settings()
    names = senders(settings)
    if not names:
        raise Usage("no notification is set: see METRIQ_WEBHOOK_URL and METRIQ_NOTIFY_URLS (docs/notifications.md)")
    notice = Notice(
        id=f"test/{uuid4()}",
        kind="test",
        subject="test",
        at=datetime.now(UTC),
        text="a test of notifications: nothing has happened",
        data={},
    )
    failed = False
    for name in names:
        try:
            open_sender(name, settings).send(notice)
        except MetriqGymError as error:
            failed = True
            say(f"{name}: {error}")
        else:
            say(f"{name}: accepted {notice.id}")
    if failed:
        raise typer.Exit(FAILED)
