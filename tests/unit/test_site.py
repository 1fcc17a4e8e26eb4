"""The documentation site has a page of every command and every message, made from the code, and mends links."""

from __future__ import annotations

import re
from typing import Any

import pytest
from mkdocs.exceptions import PluginError

from metriq_gym.cli import COMMANDS
from metriq_gym.messages import MESSAGES
from tests.docs import site


class Pages:
    """The pages of a site, by where they are."""

    def get_file_from_path(self, path: str) -> object | None:
        return path if path in {"cli.md", "deploy.md", "decisions/README.md"} else None


class Page:
    def __init__(self, path: str) -> None:
        self.file = self
        self.src_uri = path


def mended(text: str, page: str = "cli.md") -> str:
    arguments: Any = (Page(page), None, Pages())
    return site.on_page_markdown(text, *arguments)


def test_every_command_has_its_help() -> None:
    headings = re.findall(r"^#+ mgym (.+)$", site.commands(), re.MULTILINE)
    assert {each.split()[0] for each in headings} == set(COMMANDS)
    assert "job dispatch" in headings


def test_every_message_has_its_fields() -> None:
    page = site.messages()
    for message in MESSAGES:
        assert f"## {message.routing_key}\n" in page
    assert "| `job_id` | string |" in page


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("cli.md", "[page](../deploy/README.md#ports)", "[page](deploy.md#ports)"),
        ("cli.md", "[code](../shared/metriq_gym/errors.py)", "code (`shared/metriq_gym/errors.py`)"),
        ("index.md", "[cli](docs/cli.md)", "[cli](cli.md)"),
        ("decisions/0001-x.md", "[cli](../cli.md)", "[cli](../cli.md)"),
        ("cli.md", "[paper](https://arxiv.org/abs/2110.03137)", "[paper](https://arxiv.org/abs/2110.03137)"),
        ("cli.md", "```\n[x](y)\n```", "```\n[x](y)\n```"),
    ],
)
def test_links_lead_where_the_site_has_the_page(page: str, text: str, expected: str) -> None:
    assert mended(text, page) == expected


def test_a_link_to_nothing_stops_the_build() -> None:
    with pytest.raises(PluginError, match=r"no-such\.md"):
        mended("[gone](no-such.md)")


def test_a_commands_help_says_its_options() -> None:
    assert "--provider" in site.commands()
