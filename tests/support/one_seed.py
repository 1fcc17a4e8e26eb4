"""A service as a program, for which every job without a seed of its own has the same one: runs can be compared."""

from __future__ import annotations

import runpy
import secrets
import sys

SEED = 13


def _seed(k: int) -> int:
    return SEED & ((1 << k) - 1)


def main() -> None:
    """Run the service that the argument names."""
    secrets.randbits = _seed
    runpy.run_module(f"services.{sys.argv[1]}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
