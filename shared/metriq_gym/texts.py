"""Texts as people have them, from files or standard input: their encodings, and JSON that says what is wrong where."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

STANDARD_INPUT = "-"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The longest first where one begins with another."""
_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)')
_LIMITS = {
    "recursion limit exceeded": "objects and lists are nested too deeply",
    "number out of range": "a number has too many digits",
    "unexpected end of hex escape": "half a character, the other half of which is missing",
}
"""Words of pydantic's reader, and what they mean."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]')


class NotText(json.JSONDecodeError):
    """Bytes that are no text, or a text that is no JSON; says why and where."""

    def __init__(self, words: str) -> None:
        super().__init__(words, "", 0)
        self.args = (words,)

    def __reduce__(self) -> tuple[type[NotText], tuple[str]]:
        return NotText, (self.msg,)


def read(name: str | Path) -> str:
    """Return the text of a file, or of standard input for ``-``; raises `OSError` and `NotText`."""
    if str(name) == STANDARD_INPUT:
        return decode(sys.stdin.buffer.read())
    return decode(Path(name).read_bytes())


def decode(content: bytes) -> str:
    r"""Return bytes as text whose lines end in ``\n``: UTF-8, or what a byte-order mark says, or UTF-16 or -32.

    Raises `NotText`.
    """
    try:
        text = content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise NotText(
            f"is not text in {error.encoding.upper()}: byte 0x{byte:02x} at position {error.start} ({error.reason}); "
            "save it as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_utf8(content: bytes) -> bool:
    """Whether bytes are taken for UTF-8, with a mark or without."""
    return _encoding(content).startswith("utf-8")


def _encoding(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    # JSON and circuits begin with an ASCII character, of which UTF-32 makes three bytes that are 0, and UTF-16 one.
    if len(content) % 4 == 0 and (content[:3] == bytes(3) or content[1:4] == bytes(3)):
        return "utf-32-le" if content[0] else "utf-32-be"
    first, second = (*content[:2], 1, 1)[:2]
    if bool(first) == bool(second):
        return "utf-8"
    return "utf-16-le" if first else "utf-16-be"


def loads(text: str) -> Any:
    """Return what a JSON text holds.

    Raises `NotText`, with line and column, also for what other readers let pass: a key that an object has twice, of
    which they would take one, ``NaN`` and infinities, which JSON has not, and what messages cannot hold: half a
    character, or objects and lists that are nested very deeply.
    """
    if not text.strip():
        raise NotText("is empty")
    pairs = _Pairs()
    try:
        found = json.loads(text, object_pairs_hook=pairs.object, parse_constant=_no_constant)
        from_json(text)
    except json.JSONDecodeError as error:
        raise NotText(f"is not JSON: {_cause(error)} (line {error.lineno}, column {error.colno})") from None
    except _NoConstant as error:
        raise NotText(f"is not JSON: {error}{_place_of_constant(text)}") from None
    except (ValueError, RecursionError) as error:
        raise NotText(f"is not JSON that can be read: {_limit(text) or error}") from None
    if pairs.repeated:
        raise NotText(next(_repeated(text)))
    return found


def _cause(error: json.JSONDecodeError) -> str:
    """Return what is wrong in words of a person who wrote the text; the reader's tell what it expected."""
    rest = error.doc[error.pos :]
    if error.doc[: error.pos].rstrip().endswith(",") and rest.startswith(("}", "]")):
        return "a comma with nothing after it"
    if rest.startswith(("//", "/*", "#")):
        return "comments are not part of it"
    if rest.startswith("'"):
        return "strings stand in double quotes"
    if rest and not rest[0].isprintable() and not rest[0].isspace():
        return f"the character U+{ord(rest[0]):04X}"
    return "more follows after its end" if error.msg == "Extra data" else error.msg


def _limit(text: str) -> str | None:
    """Return what makes a text too much, and where, None when it is not."""
    try:
        from_json(text)
    except ValueError as error:
        words, _, place = str(error).partition(" at line ")
        known = _LIMITS.get(words, words)
        return f"{known} (line {place.replace(' column', ', column')})"
    return None


def check_keys(text: str) -> None:
    """Raise `NotText` when an object of a valid JSON text has a key twice."""
    pairs = _Pairs()
    json.loads(text, object_pairs_hook=pairs.object)
    if pairs.repeated:
        raise NotText(next(_repeated(text)))


class _Pairs:
    """Makes objects of pairs, and notes whether one had a key twice."""

    def __init__(self) -> None:
        self.repeated = False

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        self.repeated |= len(made) < len(pairs)
        return made


def _repeated(text: str) -> Iterator[str]:
    """Yield a sentence for each key that an object of a valid JSON text has again."""
    objects: list[dict[str, int] | None] = []
    last: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{":
                objects.append({})
            case "[":
                objects.append(None)
            case "}" | "]":
                objects.pop()
            case ":" if last is not None and (keys := objects[-1]) is not None:
                key = json.loads(last[0])
                if key in keys:
                    here, there = _line(text, last.start()), _line(text, keys[key])
                    again = f" and on line {here}" if here != there else ""
                    yield f"has the key {key!r} twice in one object, on line {there}{again}"
                keys[key] = last.start()
        last = token


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _no_constant(name: str) -> None:
    raise _NoConstant(f"{name} is no JSON number")


class _NoConstant(ValueError):
    """Python's reader knows the constant, and JSON does not."""


def _place_of_constant(text: str) -> str:
    position = next(found.start() for found in _CONSTANT.finditer(text) if found[1])
    return f" (line {_line(text, position)}, column {position - text.rfind(chr(10), 0, position)})"
