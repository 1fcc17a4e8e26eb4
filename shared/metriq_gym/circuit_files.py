"""Circuits that a configuration names by path: read where the configuration is, since services open no path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metriq_gym import texts
from metriq_gym.errors import MetriqGymError
from metriq_gym.wording import because

_KEY = "qasm_path"


class NoCircuit(MetriqGymError):
    """There is no such circuit file, or it cannot be read."""


def with_circuit(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration with ``qasm`` in place of a ``qasm_path``.

    The path is relative to `folder`, where the configuration is, else to the working directory. Raises `NoCircuit`.
    """
    if not isinstance(named := config.get(_KEY), str):
        return dict(config)
    rest = {key: value for key, value in config.items() if key != _KEY}
    return rest | {"qasm": _read(named, folder)}


def _read(named: str, folder: Path) -> str:
    candidates = list(dict.fromkeys((folder / named, Path.cwd() / named)))
    try:
        path = next((each for each in candidates if each.is_file()), candidates[0])
        return texts.read(path)
    except FileNotFoundError:
        where = " nor as ".join(str(each) for each in candidates)
        raise NoCircuit(f"cannot read the circuit of {_KEY} {named!r}: there is no such file as {where}") from None
    except (OSError, ValueError) as error:
        raise NoCircuit(f"cannot read the circuit of {_KEY} {named!r}: {because(error)}") from error
