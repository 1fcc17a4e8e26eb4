"""`python3 deploy/passwords.py`: write to .env a random value for each password that docker-compose.yml asks for.

What .env has already stays as it is, so do it as often as you like. Needs nothing but Python.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

ROOT = Path(__file__).parents[1]


def asked_for(compose: str) -> list[str]:
    """Return the names of the variables that hold secrets, in order: those whose default is known to everybody."""
    return list(dict.fromkeys(re.findall(r"\$\{(\w+_(?:PASSWORD|KEY|TOKEN)):-metriq}", compose)))


def complete(env: str, names: list[str]) -> str:
    """Return the text of .env with a line for each name that has none."""
    there = set(re.findall(r"^\s*(?:export\s+)?(\w+)\s*=", env, re.MULTILINE))
    # Letters and digits only: they become part of URLs, and of MongoDB's key, which takes nothing else.
    missing = [f"{name}={secrets.token_hex(20)}\n" for name in names if name not in there]
    return (env if env.endswith("\n") or not env else f"{env}\n") + "".join(missing)


def main() -> None:
    """Write .env, readable by its owner only, in one step."""
    path = ROOT / ".env"
    env = path.read_text() if path.exists() else ""
    completed = complete(env, asked_for((ROOT / "docker-compose.yml").read_text()))
    if completed == env:
        return
    partial = ROOT / ".env.new"
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(completed)
    partial.replace(path)
    print(f"{path}: {completed.count(chr(10)) - env.count(chr(10))} random passwords")


if __name__ == "__main__":
    main()
