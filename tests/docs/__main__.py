"""`make pages`: write anew what pages say that follows from the code; the gallery is `make gallery`."""

from __future__ import annotations

import re
from pathlib import Path

from metriq_gym import settings
from metriq_gym.bus import asyncapi
from metriq_gym.providers.plugin import declared
from metriq_gym.telemetry import metrics
from tests.docs import architecture, benchmarks

ROOT = Path(__file__).parents[2]


def between_marks(page: Path, mark: str, text: str) -> None:
    """Write what stands between ``<!-- mark: … -->`` and ``<!-- /mark -->``."""
    marked = rf"(<!-- {mark}: [^>]*-->\n).*?(<!-- /{mark} -->)"
    written, count = re.subn(
        marked, lambda part: f"{part[1]}\n{text}\n\n{part[2]}", page.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert count == 1, f"{page} has no mark {mark}"
    page.write_text(written, encoding="utf-8")


def main() -> None:
    """Write all of it."""
    benchmarks.main()
    architecture.PICTURE.write_text(architecture.draw(), encoding="utf-8")
    (ROOT / "docs" / "asyncapi.yaml").write_text(asyncapi.as_yaml(), encoding="utf-8")
    between_marks(ROOT / "README.md", "settings", settings.table(*declared()))
    between_marks(ROOT / "docs" / "operations.md", "metrics", metrics.table())


if __name__ == "__main__":
    main()
