"""Parts that a plain installation leaves out: each has its line that says what to install."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from metriq_gym.parts import EXTRAS, MissingPart, parts

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
COME_ALONG = {"aiormq", "bson", "click", "pamqp", "pydantic_core"}
"""What the plain installation's packages bring, and are known by."""
DEVELOPERS = {"yaml"}
"""What writes files of this repository needs, and nothing that runs."""


def names(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_every_module_comes_with_the_plain_installation_or_has_an_extra() -> None:
    graph = grimp.build_graph(
        "metriq_gym", "services", include_external_packages=True, exclude_type_checking_imports=True
    )
    others = {name for name in graph.modules if graph.is_module_squashed(name)} - set(sys.stdlib_module_names)
    plain, carriers = names(PROJECT["dependencies"]), packages_distributions()
    left = {
        name
        for name in others - COME_ALONG - DEVELOPERS - EXTRAS.keys()
        if not plain & {canonicalize_name(each) for each in carriers.get(name, [])}
    }
    assert left == set()


def test_every_extra_named_is_one() -> None:
    assert set(EXTRAS.values()) <= PROJECT["optional-dependencies"].keys()


def test_other_modules_that_are_not_found_are_defects_as_before() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), parts():
        raise ModuleNotFoundError("No module named 'no_such_module'", name="no_such_module")


def test_a_missing_module_names_its_extra() -> None:
    with (
        pytest.raises(MissingPart, match=r"draws is not installed .*pip install 'metriq-gym-services\[plots\]'$"),
        parts(),
    ):
        raise ModuleNotFoundError("No module named 'matplotlib.figure'", name="matplotlib.figure")
