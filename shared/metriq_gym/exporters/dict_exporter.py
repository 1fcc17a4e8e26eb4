"""A job's record as a dictionary."""

from __future__ import annotations

from metriq_gym.exporters.base_exporter import BaseExporter
from metriq_gym.exporters.record import Record


class DictExporter(BaseExporter):
    """Exports a job's record to the caller."""

    def export(self) -> Record:
        """Return the record."""
        return self.as_dict()
