"""`python -m metriq_gym.store.initiate HOST:PORT`: make a server started with `--replSet rs0` its own replica set.

Run it as often as you like: a server that is a replica set's primary already stays as it is.
"""

from __future__ import annotations

import sys

from metriq_gym.store.private_mongod import make_primary


def main(host: str) -> None:
    """Return once the server is a primary; `host` is the name by which all clients will reach it."""
    make_primary(f"mongodb://{host}/?directConnection=true", host)


if __name__ == "__main__":
    main(*sys.argv[1:])
