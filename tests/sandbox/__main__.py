"""Serves the sandbox: ``python -m tests.sandbox --port 8700 --seed 1``."""

from __future__ import annotations

import argparse
import json
import os
import random
from typing import Any

import uvicorn

from tests.sandbox.app import BASE_PATH, TOKEN, Sandbox
from tests.sandbox.clock import Clock
from tests.sandbox.faults import Fault
from tests.sandbox.records import updated
from tests.sandbox.server import configuration
from tests.sandbox.switches import Switches


def main() -> None:
    """Read the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description="A stand-in for TyxonQ's cloud.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8700)
    parser.add_argument("--seed", type=int, help="repeat a run: task ids, faults and counts follow from it")
    parser.add_argument(
        "--token",
        action="append",
        help="accept this token (repeatable); else $TYXONQ_SANDBOX_TOKEN, else sandbox-token",
    )
    parser.add_argument("--set", action="append", default=[], metavar="SWITCH=VALUE", help="a switch, as in README.md")
    parser.add_argument("--fault", action="append", default=[], metavar="JSON", help="a fault, as in README.md")
    parser.add_argument("--frozen", action="store_true", help="time moves only by POST /_sandbox/clock")
    given = parser.parse_args()
    try:
        switches = updated(Switches(), dict(map(_assignment, given.set)))
        faults = [updated(Fault(), json.loads(fault)) for fault in given.fault]
    except ValueError as error:
        parser.error(str(error))
    # Without a fixed seed every start must give new ids: clients remember old ones.
    seed = random.SystemRandom().getrandbits(64) if given.seed is None else given.seed
    sandbox = Sandbox(
        switches=switches,
        faults=faults,
        seed=seed,
        clock=Clock(frozen=given.frozen),
        tokens=given.token or [os.environ.get("TYXONQ_SANDBOX_TOKEN", TOKEN)],
    )
    print(f"TyxonQ sandbox at http://{given.host}:{given.port}{BASE_PATH}/ (seed {seed})", flush=True)
    try:
        uvicorn.Server(configuration(sandbox, host=given.host, port=given.port)).run()
    finally:
        sandbox.close()


def _assignment(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    main()
