"""The picture of docs/architecture.md: which room stands on which, as the imports have it (`make architecture`)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "architecture.svg"
SERVICES = ("dispatcher", "poller", "scorer", "exporter", "console")

WIDTH, ROW, HEIGHT, LETTER, GAP = 1140, 76, 34, 8.2, 46
ASIDE = (230, -60, 130, -250)
"""By how much single rooms are moved, in turn."""


def layers() -> list[list[str]]:
    """Return the rooms of the layers contract, from top to bottom, the services above them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each["type"] == "layers")
    return [list(SERVICES), *(layer.replace("|", ":").replace(" ", "").split(":") for layer in contract["layers"])]


def stands_on() -> dict[str, set[str]]:
    """Return which rooms each room imports, without those that it reaches through another anyway."""
    graph = grimp.build_graph("metriq_gym", "services", cache_dir=None)
    rooms = {room for layer in layers() for room in layer}
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            above, below = _room(module), _room(imported)
            if above != below and {above, below} <= rooms:
                found[above].add(below)
    return {
        room: {each for each in below if not _reached(found, below - {each}, each)} for room, below in found.items()
    }


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _reached(found: dict[str, set[str]], starts: set[str], room: str) -> bool:
    seen, todo = set[str](), list(starts)
    while todo:
        here = todo.pop()
        if here == room:
            return True
        if here not in seen:
            seen.add(here)
            todo.extend(found[here])
    return False


def draw() -> str:
    """Return the picture as SVG; the same imports give the same bytes."""
    rows = layers()
    boxes = {room: box for number, row in enumerate(rows) for room, box in _placed(row, number)}
    below = stands_on()
    lines = [_arrow(boxes[room], boxes[each]) for room in boxes for each in sorted(below[room])]
    shapes = [_box(room, *box, service=room in SERVICES) for room, box in boxes.items()]
    height = ROW * len(rows)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
            ' font-family="system-ui, sans-serif" font-size="14">',
            "<title>The rooms of metriq_gym and what each stands on</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#8a94a6"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *lines,
            *shapes,
            "</svg>\n",
        ]
    )


def _placed(row: list[str], number: int) -> Iterator[tuple[str, tuple[float, float, float]]]:
    widths = [LETTER * len(room) + 28 for room in row]
    left = (WIDTH - sum(widths) - GAP * (len(row) - 1)) / 2
    if len(row) == 1:  # beside the line from the room above to the one below
        left += ASIDE[number % len(ASIDE)]
    for room, width in zip(row, widths, strict=True):
        yield room, (left, ROW * number + (ROW - HEIGHT) / 2, width)
        left += width + GAP


def _arrow(above: tuple[float, float, float], below: tuple[float, float, float]) -> str:
    x, y = above[0] + above[2] / 2, above[1] + HEIGHT
    to_x, to_y = below[0] + below[2] / 2, below[1] - 1
    if above[1] == below[1]:  # neighbours
        y, to_y = y - HEIGHT / 2, to_y + HEIGHT / 2
        x, to_x = (above[0] + above[2], below[0] - 1) if x < to_x else (above[0], below[0] + below[2] + 1)
    bend = (to_y - y) / 2
    path = f"M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"
    return f'<path d="{path}" fill="none" stroke="#8a94a6" stroke-width="1.2" marker-end="url(#tip)"/>'


def _box(room: str, x: float, y: float, width: float, *, service: bool) -> str:
    fill, ink = ("#1f4b99", "#ffffff") if service else ("#e8eef8", "#10213f")
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{HEIGHT}" rx="7" fill="{fill}"/>'
        f'<text x="{x + width / 2:.0f}" y="{y + HEIGHT / 2 + 5:.0f}" text-anchor="middle" fill="{ink}">'
        f"{escape(room)}</text>"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
