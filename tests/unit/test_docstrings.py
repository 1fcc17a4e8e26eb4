"""What the site's references render leaves out no parameter and no error, and leads nowhere that is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from metriq_gym import benchmarks

ROOT = Path(__file__).parents[2]
RENDERED = {
    module
    for page in ("api", "reference")
    for module in re.findall(r"^::: (\S+)$", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"), re.MULTILINE)
}
COMPLETE = '''"""A module."""


def halve(seconds: float) -> float:
    """Return half of a time.

    Parameters
    ----------
    seconds
        In seconds.

    Raises
    ------
    ValueError
        For a time below 0.
    """
    if seconds < 0:
        raise ValueError(seconds)
    return seconds / 2
'''
PARAMETER = "    Parameters\n    ----------\n    seconds\n        In seconds.\n\n"
ERROR = "\n    Raises\n    ------\n    ValueError\n        For a time below 0.\n"


def _checks() -> list[list[str]]:
    """The commands of `make lint` that look at docstrings, without the files."""
    lines = re.findall(r"^\t\$\(BIN\)/(.*) \$\(RENDERED\)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return [[str(Path(sys.executable).with_name(name)), *options] for name, *options in map(str.split, lines)]


def _passes(path: Path) -> bool:
    checked = [subprocess.run([*each, str(path)], cwd=ROOT, capture_output=True, check=False) for each in _checks()]
    assert checked
    return all(each.returncode == 0 for each in checked)


@pytest.mark.slow
@pytest.mark.parametrize(("missing", "passes"), [("", True), (PARAMETER, False), (ERROR, False)])
def test_a_parameter_or_an_error_that_is_left_out_fails(tmp_path: Path, missing: str, passes: bool) -> None:
    path = tmp_path / "halves.py"
    path.write_text(COMPLETE.replace(missing, "") if missing else COMPLETE)
    assert _passes(path) is passes


def test_every_benchmark_is_rendered_and_names_its_source() -> None:
    for name in benchmarks.names():
        found = benchmarks.load(name)
        if found.__module__.startswith("metriq_gym."):
            assert found.__module__ in RENDERED, name
            assert re.search(r"References\n +-+\n(.|\n)*https://", found.__doc__ or ""), name


def test_every_name_that_the_pages_import_is_rendered() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    imported = set(re.findall(r"^(?:>>> )?from (metriq_gym\.[\w.]+) import", text, re.MULTILINE))
    assert imported - RENDERED - {"metriq_gym.constants", "metriq_gym.settings"} == set()


@pytest.mark.slow
@pytest.mark.parametrize(("link", "passes"), [("[x][pathlib.Path]", False), ("[x](missing.md)", False), ("x", True)])
def test_a_broken_reference_fails_as_the_site_is_built(tmp_path: Path, link: str, passes: bool) -> None:
    (recipe,) = re.findall(
        r"^docs:.*\n\t\S+ \$\(BIN\)/python -m (mkdocs .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert re.search(r"^strict: true$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A page\n\n{link}\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: A site\nstrict: true\nplugins: [autorefs]\n")
    built = subprocess.run([sys.executable, "-m", *recipe.split()], cwd=tmp_path, capture_output=True, check=False)
    assert (built.returncode == 0) is passes, built.stderr.decode()
