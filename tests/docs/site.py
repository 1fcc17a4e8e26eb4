"""What the documentation site has beside the pages of docs/: pages from elsewhere, and references made from the code.

MkDocs calls these as hooks. A link from a page to a file that is not on the site becomes the file's path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import typer.main
from fastapi import FastAPI
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.core import TyperGroup

from metriq_gym.bus.port import QUEUES
from metriq_gym.cli import app
from metriq_gym.cli.lazy import LazyCommand
from metriq_gym.messages import MESSAGES, Message
from services.console.api import router
from services.console.app import API, DESCRIPTION

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/README.md": "deploy.md",
    "deploy/kubernetes/README.md": "kubernetes.md",
}
"""Pages that stand outside docs/ → where they are on the site."""
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s#]+)(#[^()\s]*)?\)")
EVENTS = (
    "Everything that is published to the exchange `metriq.events`, a routing key each; "
    "`docs/asyncapi.yaml` is the same for programs."
)
HEAD = ["| field | type | required | meaning |", "|---|---|---|---|"]
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not stand in docs/."""
    made: dict[str, Callable[[], str]] = {"commands.md": commands, "http.md": http, "messages.md": messages}
    for source, target in ELSEWHERE.items():
        made[target] = (ROOT / source).read_text  # as it is: its links are mended like those of all pages
    for target, content in made.items():
        files.append(File.generated(config, target, content=content()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend a page's links: to pages that moved, and to files that the site does not have."""
    target = page.file.src_uri
    source = next((each for each, moved in ELSEWHERE.items() if moved == target), f"docs/{target}")

    def mended(link: re.Match[str]) -> str:
        image, text, where, anchor = link[1], link[2], link[3], link[4] or ""
        if "://" in where or where.startswith("mailto:"):
            return link[0]
        path = os.path.normpath(os.path.join(os.path.dirname(source), where))
        if not (ROOT / path).exists() and not _is_made(path):
            raise PluginError(f"{source} links to {where}, which does not exist")
        there = ELSEWHERE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if there is None or not files.get_file_from_path(there):
            return f"`{path}`" if text.strip("`") in path else f"{text} (`{path}`)"
        return f"{image}[{text}]({os.path.relpath(there, os.path.dirname(target) or '.')}{anchor})"

    if target == "decisions/README.md":
        markdown = f"{markdown}\n{decisions(files)}\n"
    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(mended, part) for part in parts)


def decisions(files: Files) -> str:
    """Return links to all records of decisions, by their titles."""
    records = sorted(file.src_uri for file in files if file.src_uri.startswith("decisions/0"))
    titles = {each: (ROOT / "docs" / each).read_text(encoding="utf-8").splitlines()[0][2:] for each in records}
    return "\n".join(f"- [{title}]({record.partition('/')[2]})" for record, title in titles.items())


def _is_made(path: str) -> bool:
    return path in ("docs/commands.md", "docs/http.md", "docs/messages.md")


def commands() -> str:
    """Return a page of every command with its options, as ``--help`` says them."""
    root = typer.main.get_command(app)
    return "\n".join(
        [
            "# Every command",
            "",
            "As `--help` says it, made from the commands themselves.",
            "",
            *_command(root, ["mgym"]),
        ]
    )


def _command(command: Any, words: list[str]) -> Iterator[str]:
    itself = command.loaded() if isinstance(command, LazyCommand) else command
    yield f"{'#' * min(len(words) + 1, 4)} {' '.join(words)}"
    yield ""
    yield from ["```text", _usage(itself, words), "```", ""]
    if isinstance(itself, TyperGroup):
        for name, member in sorted(itself.commands.items()):
            yield from _command(member, [*words, name])


def _usage(command: Any, words: list[str]) -> str:
    context = typer.Context(command, info_name=" ".join(words), terminal_width=110, max_content_width=110)
    return str(command.get_help(context)).replace("```", "'''")


def messages() -> str:
    """Return a page of every message with its fields."""
    lines = [
        "# Messages",
        "",
        EVENTS,
        "",
    ]
    for message in MESSAGES:
        lines += [f"## {message.routing_key}", "", (message.__doc__ or "").strip(), "", *_fields(message)]
        receivers = [queue.name for queue in QUEUES if message.routing_key in queue.routing_keys]
        lines += ["", f"Received by: {', '.join(f'`{each}`' for each in receivers) or 'nothing of ours'}.", ""]
    return "\n".join(lines)


def _fields(message: type[Message]) -> Iterator[str]:
    schema = message.model_json_schema()
    yield from HEAD
    for name, field in schema["properties"].items():
        yield _row(name, field, name in schema.get("required", ()))


def _row(name: str, field: Mapping[str, Any], required: bool) -> str:
    kinds = [_kind(each) for each in field.get("anyOf", [field])]
    meaning = " ".join(field.get("description", "").split()).replace("|", "\\|")
    return f"| `{name}` | {' or '.join(kinds)} | {'yes' if required else ''} | {meaning} |"


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "$ref" in schema.get("items", {}):
        return f"array of {_kind(schema['items'])}"
    return str(schema.get("type") or schema.get("const") or "object")


def http() -> str:
    """Return a page of every call of the console's HTTP API, from its OpenAPI document."""
    app = FastAPI()
    app.include_router(router, prefix=API)
    document = app.openapi()
    lines = [
        "# HTTP API",
        "",
        DESCRIPTION,
        "",
        "[The console](console.md) serves it; `/api/openapi.json` is the same for programs.",
        "",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            lines += [f"## {method.upper()} {path}", "", operation.get("description", ""), "", *_asked(operation)]
            ((status, answer),) = [each for each in operation["responses"].items() if each[0].startswith("2")]
            kinds = [_kind(each.get("schema", {})) for each in answer.get("content", {}).values()]
            lines += [f"Answers {status}{' with ' + ' or '.join(dict.fromkeys(kinds)) if kinds else ''}.", ""]
    lines += ["## What is sent and answered", ""]
    for name, schema in document["components"]["schemas"].items():
        lines += [f"### {name}", "", schema.get("description", ""), ""]
        if schema.get("enum"):
            lines += ["One of " + ", ".join(f"`{each}`" for each in schema["enum"]) + ".", ""]
        if schema.get("properties"):
            rows = schema["properties"].items()
            lines += [*HEAD, *(_row(field, each, field in schema.get("required", ())) for field, each in rows), ""]
    known = document["components"]["schemas"]
    return re.sub(r"`(\w+)`", lambda name: _linked(name[1]) if name[1] in known else name[0], "\n".join(lines))


def _linked(name: str) -> str:
    return f"[`{name}`](#{name.lower()})"


def _asked(operation: Mapping[str, Any]) -> Iterator[str]:
    if given := operation.get("parameters"):
        yield from HEAD
        for each in given:
            yield _row(each["name"], each["schema"] | {"description": each.get("description", "")}, each["required"])
        yield ""
    for body in operation.get("requestBody", {}).get("content", {}).values():
        yield from [f"Takes {_kind(body['schema'])}.", ""]
