"""The rooms of the house: what is in each, what each may load, and that the pages which say so are true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import architecture

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "shared" / "metriq_gym"
DATA = {"schemas", "suites"}

HEAVY = {
    "aio_pika", "aiolimiter", "github", "httpx", "matplotlib", "motor", "openqasm3", "opentelemetry", "pandas",
    "prometheus_client", "pyarrow", "pymongo", "qiskit", "qiskit_aer", "qiskit_ibm_runtime", "rich", "scipy",
    "structlog", "typer",
}  # fmt: skip
"""Libraries that take long to import, or that only one room has to do with."""
LOGS = {"rich", "structlog"}  # the second looks for the first
STORE = {"motor", "pymongo"}
LOADS = {
    "messages": set[str](),
    "errors": set[str](),
    "settings": set[str](),
    "packing": set[str](),
    "wording": set[str](),
    "web": set[str](),
    "parts": set[str](),
    "platform": set[str](),
    "circuit_files": set[str](),
    "texts": set[str](),
    "constants": set[str](),
    "telemetry": LOGS | {"opentelemetry", "prometheus_client"},
    "bus": LOGS | {"aio_pika", "prometheus_client"},
    "benchmarks": {"openqasm3", "qiskit", "scipy"},
    "providers": LOGS
    | {"aiolimiter", "httpx", "prometheus_client", "qiskit", "qiskit_aer", "qiskit_ibm_runtime", "scipy"},
    "schema_validator": set[str](),
    "suite_parser": set[str](),
    "jobs": set[str](),
    "store": STORE,
    "exporters": LOGS | STORE | {"prometheus_client"},
    "service": LOGS | STORE | {"prometheus_client"},
    "client": STORE,
    "terminal": STORE | {"matplotlib", "openqasm3", "qiskit", "rich", "scipy"},
    "job_manager": STORE,
    "upload_paths": set[str](),
    "operations": LOGS | STORE | {"aio_pika", "prometheus_client"},
    "results": STORE,
    "run": STORE | LOGS | {"prometheus_client"},
    "testing": STORE | LOGS | {"prometheus_client", "qiskit", "scipy"},
}
"""Room → the heavy libraries that all its modules together may load."""
IMPORT_ALL = """
import importlib, pkgutil, sys
room = importlib.import_module("metriq_gym." + sys.argv[1])
for module in pkgutil.walk_packages(getattr(room, "__path__", ()), room.__name__ + "."):
    if "__main__" not in module.name:
        importlib.import_module(module.name)
print(*sys.modules)
"""


def rooms() -> set[str]:
    """The library's packages and modules, without those that hold only data."""
    packages = {each.parent.name for each in LIBRARY.glob("*/__init__.py")}
    modules = {each.stem for each in LIBRARY.glob("*.py")}
    return (packages | modules) - DATA - {"__init__", "__main__"}


@pytest.mark.slow
@pytest.mark.parametrize("room", sorted(LOADS))
def test_a_room_loads_no_library_that_belongs_to_another(room: str) -> None:
    ran = subprocess.run([sys.executable, "-c", IMPORT_ALL, room], capture_output=True, text=True, check=True)
    assert HEAVY & set(ran.stdout.split()) <= LOADS[room]


def test_every_room_but_the_commands_has_its_bound() -> None:
    assert rooms() == LOADS.keys() | {"cli"}


def test_contributing_names_every_room() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `shared/metriq_gym/(\w+)(?:\.py|/)` \|", page, re.MULTILINE))
    assert named == rooms()
    for name in re.findall(r"^\| `(\w+)/` \|", page, re.MULTILINE):
        assert (ROOT / name).is_dir()


@pytest.mark.parametrize("package", sorted(each.parent.name for each in LIBRARY.glob("*/__init__.py")))
def test_a_room_says_what_is_in_it_and_what_may_not_be(package: str) -> None:
    said = ast.get_docstring(ast.parse((LIBRARY / package / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert len(said.splitlines()) >= 3, "what is in it, an empty line, what may not be"


def test_the_picture_of_the_architecture_is_drawn_from_the_imports() -> None:
    assert architecture.PICTURE.read_text(encoding="utf-8") == architecture.draw(), "make architecture"


def test_the_picture_shows_all_of_every_room() -> None:
    boxes = re.findall(r'<rect x="(-?\d+)" y="\d+" width="(\d+)"', architecture.PICTURE.read_text(encoding="utf-8"))
    assert boxes
    assert all(int(x) >= 0 and int(x) + int(width) <= architecture.WIDTH for x, width in boxes)
