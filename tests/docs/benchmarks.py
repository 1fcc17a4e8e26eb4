"""`python -m tests.docs.benchmarks`: write anew what docs/benchmarks.md has from the code.

That is the text between markers, which are comments such as ``<!-- parameters: WIT -->`` and ``<!-- /parameters -->``,
and the pictures.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from metriq_gym import benchmarks
from metriq_gym.constants import JobType
from metriq_gym.schema_validator import NAME_KEY
from tests.docs import pictures

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
LONGEST_TEXT = 60
_POWERS = {2**63 - 1: "2⁶³ − 1", 2**53 - 1: "2⁵³ − 1", 2**32 - 1: "2³² − 1"}


def parameters(job_type: JobType) -> str:
    """Return the benchmark's parameters as a Markdown table."""
    schema = benchmarks.schema(job_type)
    rows = ["| name | type | bounds | default | meaning |", "|---|---|---|---|---|"]
    for name, parameter in schema["properties"].items():
        if name != NAME_KEY:
            default = _default(parameter, required=name in schema["required"])
            cells = [f"`{name}`", _type(parameter), bounds(parameter), default, parameter["description"]]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _type(parameter: dict[str, Any]) -> str:
    return f"list of {parameter['items']['type']}s" if parameter["type"] == "array" else str(parameter["type"])


def bounds(parameter: dict[str, Any]) -> str:
    """Return what the schema allows, such as ``1 … 1,000`` or ``6 or 7``; nothing where it allows everything."""
    match parameter:
        case {"enum": allowed}:
            return " or ".join(_code(value) for value in allowed)
        case {"const": only}:
            return _code(only)
        case {"type": "array", "items": items, "minItems": fewest, "maxItems": most, **rest}:
            different = " different" if rest.get("uniqueItems") else ""
            return f"{_number(fewest)} … {_number(most)}{different} entries, each {bounds(items)}"
        case {"minimum": lowest, "exclusiveMaximum": limit}:
            return f"{_number(lowest)} … {_number(limit)}, {_number(limit)} excluded"
        case {"minimum": lowest, "maximum": highest}:
            return f"{_number(lowest)} … {_number(highest)}"
        case {"maxLength": longest}:
            return f"at most {_number(longest)} characters"
        case {"type": "boolean"}:
            return ""
    raise ValueError(f"no words for the bounds of {parameter}")


def _default(parameter: dict[str, Any], *, required: bool) -> str:
    if "default" in parameter:
        return _code(parameter["default"])
    return "required" if required else "–"


def _code(value: object) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _number(value: float) -> str:
    return _POWERS.get(int(value), f"{value:,}")


def example(job_type: JobType) -> str:
    """Return the shipped example as a JSON code block; long texts are cut."""
    lines = [f"  {json.dumps(key)}: {json.dumps(_cut(value))}" for key, value in pictures.example(job_type).items()]
    return "```json\n{\n" + ",\n".join(lines) + "\n}\n```"


def _cut(value: object) -> object:
    return f"{value[:LONGEST_TEXT]}…" if isinstance(value, str) and len(value) > LONGEST_TEXT else value


PARTS = {"parameters": parameters, "example": example}


def updated(page: str) -> str:
    """Return the page with everything between markers written anew."""

    def written(part: re.Match[str]) -> str:
        return f"{part['start']}\n\n{PARTS[part['what']](JobType(part['name']))}\n\n{part['end']}"

    marked = r"(?P<start><!-- (?P<what>\w+): (?P<name>[^>]+?) -->).*?(?P<end><!-- /(?P=what) -->)"
    return re.sub(marked, written, page, flags=re.DOTALL)


def main() -> None:
    """Write the page and the pictures."""
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    pictures.FOLDER.mkdir(exist_ok=True)
    for job_type in JobType:
        pictures.path(job_type).write_text(pictures.draw(job_type), encoding="utf-8")


if __name__ == "__main__":
    main()
