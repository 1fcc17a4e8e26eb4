"""The README's code blocks, and the addresses in them that are other ones in a test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BROKER_URL = "amqp://metriq:metriq@localhost/"
MANAGEMENT_URL = "http://localhost:15672"
MONGO_URL = "mongodb://metriq:metriq@localhost/?directConnection=true"


def blocks(language: str, page: Path = README) -> list[str]:
    """Return the blocks of code in a language, in the order they are printed."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
