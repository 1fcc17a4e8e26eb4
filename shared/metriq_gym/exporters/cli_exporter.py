"""A job's record on standard output, for scripts; `mgym job view` prints for people."""

from __future__ import annotations

import json
import sys
from typing import Any

from metriq_gym.exporters.base_exporter import BaseExporter


class CliExporter(BaseExporter):
    """Exports a job's record to standard output."""

    def export(self) -> None:
        """Print the record as JSON, then each metric in a line, ``value ± uncertainty`` where there is one."""
        results = self._record["results"] or {}
        lines = [json.dumps(self._record, indent=2, ensure_ascii=False), "", "Results:"]
        lines += [f"  {metric}: {_text(value)}" for metric, value in results.items()]
        sys.stdout.write("\n".join(lines) + "\n")


def _text(value: Any) -> str:
    if not (isinstance(value, dict) and "value" in value):
        return str(value)
    uncertainty = value.get("uncertainty")
    return str(value["value"]) if uncertainty is None else f"{value['value']} ± {uncertainty}"
