"""What an import pulls in, by modules, which are the same on every machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = {"annotated_types", "metriq_gym", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}
"""What the contracts are written with, and nothing else."""


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has after some code, which its start brought not."""
    program = (
        f"import sys\nbefore = set(sys.modules)\n{code}\nimport json\nprint(json.dumps([*set(sys.modules) - before]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def distributed(modules: set[str]) -> set[str]:
    """The top-level packages among them that are not Python's own."""
    tops = {name.split(".")[0] for name in modules}
    return {name for name in tops - sys.stdlib_module_names if not name.startswith("_")}


@pytest.mark.parametrize("module", ["schema_validator", "constants", "errors", "messages"])
def test_faces_pull_in_little(module: str) -> None:
    found = loaded(f"import metriq_gym.{module}")
    assert distributed(found) <= SMALL
    assert len(found) < 300


def test_a_schema_is_validated_without_building_grammars() -> None:
    found = distributed(loaded("from metriq_gym.schema_validator import validate; validate({'benchmark_name': 'WIT'})"))
    assert "jsonschema" in found
    assert found.isdisjoint({"lark", "numpy", "qiskit", "rfc3987_syntax"})


def test_services_name_each_other_relatively_since_a_wheel_calls_their_package_by_another_name() -> None:
    folder = Path(__file__).parents[2] / "services"
    absolute = re.compile(r"^\s*(from|import) services\b", re.MULTILINE)
    assert [path for path in folder.rglob("*.py") if absolute.search(path.read_text())] == []
