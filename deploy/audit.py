"""`python deploy/audit.py`: look for known vulnerabilities in what is locked; fails when there are any.

Where pip-audit's database cannot be reached it says that nothing was looked at, and does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = (ROOT / "requirements.txt", *sorted((ROOT / "deploy" / "requirements").glob("*.txt")))
_SECONDS = 300


def verdict(dependencies: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit code, and the lines to print, for what pip-audit says of each dependency."""
    looked_at = [each for each in dependencies if "vulns" in each]
    if not looked_at:
        return 0, ["pip-audit: NOT RUN: its database cannot be reached from here"]
    found = [f"{each['name']} {each['version']}: {bug['id']}" for each in looked_at for bug in each["vulns"]]
    left_out = [
        f"{each['name']}: not looked at: {each['skip_reason']}" for each in dependencies if "skip_reason" in each
    ]
    summary = f"pip-audit: {len(looked_at)} packages looked at, {len(found)} known vulnerabilities"
    return (1 if found else 0), [*found, *left_out, summary]


def main() -> int:
    """Audit all locks."""
    locks = [part for lock in LOCKS for part in ("--requirement", str(lock))]
    options = ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options, *locks], capture_output=True, text=True, timeout=_SECONDS
        )
        dependencies = json.loads(done.stdout)["dependencies"] if done.stdout else []
    except subprocess.TimeoutExpired:
        dependencies = []
    code, lines = verdict(dependencies)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
