"""The lock files: in step with pyproject.toml, complete, hashed, and free of what a service must not have."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
IMAGES = ("dispatcher", "poller", "scorer", "exporter", "console", "sandbox")
TERMINAL = {"markdown-it-py", "mdurl", "pygments", "rich", "shellingham", "typer"}
"""What only a terminal needs."""
UNUSED = dict.fromkeys(IMAGES, TERMINAL) | {
    "console": {"asgiref", "django", "narwhals", "shellingham", "sqlparse", "typer"}
}
"""What an image leaves out, though one of its dependencies names it."""
FOLDER = ROOT / "deploy" / "requirements"
ALONE = ("audit", "bench")
"""What has an environment of its own."""
LOCKS = {name: FOLDER / f"{name}.txt" for name in (*IMAGES, "embedded", *ALONE)} | {"tests": ROOT / "requirements.txt"}
IN_IMAGES = {"python_version": "3.11", "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions each name is pinned to; one, but where they depend on the platform."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def direct(extra: str) -> Iterator[Requirement]:
    """What pyproject.toml asks for with an extra, and with the extras that it includes."""
    for line in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            for included in sorted(requirement.extras):
                yield from direct(included)
        else:
            yield requirement


def grouped(group: str) -> Iterator[Requirement]:
    """What a dependency group asks for, with the groups that it includes."""
    for line in PYPROJECT["dependency-groups"][group]:
        if isinstance(line, str):
            yield Requirement(line)
        else:
            yield from grouped(line["include-group"])


def wanted(lock: str) -> list[Requirement]:
    """What a lock is made for."""
    base = map(Requirement, PROJECT["dependencies"])
    running = (*direct("embedded"), *direct("sandbox"))
    match lock:
        case "audit" | "bench":
            return [*grouped(lock)]
        case "embedded":
            return [*base, *running, *grouped("build")]
        case "tests":
            return [*base, *running, *grouped("dev")]
    return [*base, *direct(lock)]


@cache
def needed_by(name: str, extra: str) -> frozenset[tuple[str, str]]:
    """What a distribution needs with an extra, by the metadata of the one that is installed here."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # only some platforms have it
        return frozenset()
    return frozenset(
        each
        for requirement in map(Requirement, lines)
        if requirement.marker is None or requirement.marker.evaluate({**IN_IMAGES, "extra": extra})
        for each in nodes(requirement)
    )


def nodes(requirement: Requirement) -> set[tuple[str, str]]:
    return {(canonicalize_name(requirement.name), extra) for extra in {"", *requirement.extras}}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_what_pyproject_asks_for(lock: str) -> None:
    pinned = pins(LOCKS[lock])
    for requirement in wanted(lock):
        if requirement.name in UNUSED.get(lock, ()):
            continue
        versions = pinned.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement} is not locked"
        assert all(map(requirement.specifier.contains, versions)), f"{requirement} is locked at {versions}"


@pytest.mark.parametrize("image", IMAGES)
def test_lock_of_an_image_has_all_that_is_needed_and_nothing_else(image: str) -> None:
    closure, found = set[tuple[str, str]](), set[tuple[str, str]]().union(*map(nodes, wanted(image)))
    while found:
        closure |= found
        found = {need for each in found for need in needed_by(*each)} - closure
    assert set(pins(LOCKS[image])) == {name for name, _ in closure} - UNUSED[image]


@pytest.mark.parametrize("lock", sorted(LOCKS.keys() - {*ALONE, "tests"}))
def test_tests_run_on_what_is_shipped(lock: str) -> None:
    tested = pins(LOCKS["tests"])
    assert {name: found for name, found in pins(LOCKS[lock]).items() if not found <= tested.get(name, set())} == {}


def test_running_needs_less_than_testing() -> None:
    tools = {"hypothesis", "import-linter", "mypy", "pytest", "ruff", "testcontainers", "uv"}
    assert tools <= set(pins(LOCKS["tests"]))
    assert not tools & set(pins(LOCKS["embedded"]))


@pytest.mark.parametrize("lock", sorted(LOCKS.keys() - {"audit"}))
def test_what_slows_each_import_of_jsonschema_is_only_where_supply_chains_are_looked_at(lock: str) -> None:
    assert "rfc3987-syntax" in pins(LOCKS["audit"])
    assert not {"rfc3987-syntax", "cyclonedx-bom", "pip-audit"} & set(pins(LOCKS[lock]))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_line_says_where_to_download(lock: str) -> None:
    text = LOCKS[lock].read_text()
    entries = re.split(r"^(?=\S)", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert len(entries) >= len(pins(LOCKS[lock]))
    for entry in entries:
        assert re.match(r"[\w.-]+==", entry)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert not re.search(r"://|--(extra-)?index|--find-links|file:|^/", text, re.MULTILINE)


@pytest.mark.parametrize("service", ["scorer", "exporter"])
def test_services_that_reach_no_provider_have_neither_httpx_nor_aer(service: str) -> None:
    assert not {"httpx", "qiskit-aer"} & set(pins(LOCKS[service]))


@pytest.mark.parametrize("image", IMAGES)
def test_images_have_neither_ibms_client_nor_what_they_never_import(image: str) -> None:
    """The snapshots of IBM's devices are data of ours."""
    pinned = set(pins(LOCKS[image]))
    assert not UNUSED[image] & pinned
    assert not [name for name in pinned if "ibm" in name]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """Who imports whom, also within functions."""
    return grimp.build_graph(
        "metriq_gym", "services", include_external_packages=True, exclude_type_checking_imports=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("service", [image for image in IMAGES if image != "sandbox"])
def test_all_that_a_service_can_come_to_import_is_in_its_image(imports: grimp.ImportGraph, service: str) -> None:
    reached = imports.find_upstream_modules(f"services.{service}", as_package=True)
    others = {name.split(".")[0] for name in reached if imports.is_module_squashed(name)} - sys.stdlib_module_names
    locked, carriers = pins(LOCKS[service]), packages_distributions()
    assert "pydantic" in others
    # The console retries exports by the list of the targets there are, brings nothing to GitHub and tells no one.
    others -= {"github", "apprise"} if service == "console" else set()
    assert [name for name in others if not locked.keys() & set(map(canonicalize_name, carriers[name]))] == []
