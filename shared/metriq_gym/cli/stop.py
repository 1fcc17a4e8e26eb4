"""``mgym stop``."""

from __future__ import annotations

from metriq_gym.cli.output import say
from metriq_gym.settings import Settings
from metriq_gym.store.private_mongod import stop_idle


def stop() -> None:
    """Stop the private database that waits for the next command.

    It stops by itself after some minutes (METRIQ_MONGOD_STAY_SECONDS); nothing is lost either way.
    """
    stopped = stop_idle(Settings().data_dir / "mongod")
    say("the database has stopped" if stopped else "no database waits: none runs, or it is in use")
