"""Runs a private `mongod` until nobody holds the lock on its folder: ``mongod_supervisor LOCK COMMAND…``."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading


def main(lock: str, command: list[str]) -> None:
    """Start `command`, wait for the exclusive lock on the file `lock`, then stop it."""
    with open(lock, "ab") as users:
        server = subprocess.Popen(command)  # noqa: S603
        threading.Thread(target=_exit_with, args=(server,), daemon=True).start()
        fcntl.flock(users, fcntl.LOCK_EX)
        server.terminate()
        server.wait()


def _exit_with(server: subprocess.Popen[bytes]) -> None:
    os._exit(server.wait())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
