"""Formulas for the site: MathML, which browsers draw without a script."""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert


def drawn(source: str, language: str, css_class: str, options: dict[str, Any], md: object, **_: Any) -> str:
    """Return a fenced block of LaTeX as a formula."""
    return f'<div class="{css_class}">{convert(source.strip(), display="block")}</div>'
