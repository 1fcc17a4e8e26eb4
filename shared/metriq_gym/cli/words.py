"""Options that a file may follow, as in metriq-gym's own command line: ``--json`` prints, ``--json FILE`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from typer.core import TyperCommand, TyperOption

WITH_FILE = "-file"
"""What such an option's name ends in, as a hidden option of its own, where a file follows."""


def split_files(command: TyperCommand, words: Sequence[str]) -> list[str]:
    """Return a command's words with ``--json FILE`` as ``--json-file FILE``, for each option that has such a twin.

    What follows is a file when it has a folder or a suffix of one, as ``results.json`` has, or when the words name a
    job besides; otherwise it is the job.
    """
    options = [each for each in command.params if isinstance(each, TyperOption)]
    twins = {name for each in options for name in each.opts if name + WITH_FILE in {n for o in options for n in o.opts}}
    if not twins:
        return list(words)
    valued = {name for each in options if not each.is_flag for name in each.opts}
    plain = _plain_words(words, valued)
    out: list[str] = []
    for place, word in enumerate(words):
        name, equals, _ = word.partition("=")
        followed = place + 1 in plain and (len(plain) > 1 or _is_file(words[place + 1]))
        if "--" in words[:place] or name not in twins or not (equals or followed):
            out.append(word)
        else:
            out.append(word.replace(name, name + WITH_FILE, 1))
    return out


def _plain_words(words: Sequence[str], valued: set[str]) -> set[int]:
    """Return the places of words that are neither an option nor the value of one."""
    return {
        place
        for place, word in enumerate(words)
        if not (word.startswith("-") and word != "-") and (place == 0 or words[place - 1] not in valued)
    }


def _is_file(word: str) -> bool:
    path = Path(word)
    return path.suffix == ".json" or path.name != word
