"""Serves the stand-in for GitHub, with the repository and the users of tests/fake_github/server.py."""

from __future__ import annotations

import argparse

import uvicorn

from tests.fake_github.app import FakeGitHubApp
from tests.fake_github.server import configuration, fresh_state


def main() -> None:
    """Read the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_github", description="A stand-in for GitHub.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8701)
    given = parser.parse_args()
    print(f"stand-in for GitHub at http://{given.host}:{given.port}", flush=True)
    uvicorn.Server(configuration(FakeGitHubApp(fresh_state()), host=given.host, port=given.port)).run()


if __name__ == "__main__":
    main()
