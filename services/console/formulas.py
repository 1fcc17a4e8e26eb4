"""What docs/benchmarks.md says of a benchmark, its formulas as MathML, which browsers draw without a script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from metriq_gym.errors import NotFound

_PLACES = (Path(__file__).with_name("benchmarks.md"), Path(__file__).parents[2] / "docs" / "benchmarks.md")
"""As installed, and as in a checkout."""
_SHARED = "Algorithms of the QED-C suite"
_OURS = re.compile(r"<!--.*?-->|^!\[[^\]]*\]\([^)]*\)$(\s*^\*[^*]*\*$)?", re.MULTILINE | re.DOTALL)
"""Marks of generated parts, and pictures, which are not here."""


class _Renderer(RendererHTML):
    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Return a block of code, or of mathematics."""
        token = tokens[idx]
        if token.info.strip() == "math":
            return convert(" ".join(token.content.split()), display="block") + "\n"
        return super().fence(tokens, idx, options, env)


@cache
def section(benchmark: str) -> str:
    """Return what is said of a benchmark as HTML; raises `NotFound` for one that the page has nothing of."""
    sections = _sections()
    if benchmark not in sections or benchmark == _SHARED:
        raise NotFound(f"there is no page about the benchmark {benchmark}")
    text = sections[benchmark]
    if "#algorithms-of-the-qed-c-suite" in text:
        text += f"\n### What all four have in common\n\n{sections[_SHARED]}"
    # Links lead to other sections and files, which are not here; those to papers stay.
    text = re.sub(r"\[([^\]]*)\]\((?!https:)[^)]*\)", r"\1", _OURS.sub("", text))
    html: str = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table").render(text)
    return html


def known() -> set[str]:
    """Return the benchmarks that there is something about."""
    return set(_sections()) - {_SHARED}


@cache
def _sections() -> dict[str, str]:
    page = next((place for place in _PLACES if place.is_file()), None)
    if page is None:
        return {}
    parts = re.split(r"^## (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
