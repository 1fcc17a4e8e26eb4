"""The exporter: from a result, or the outcome of a failed attempt, to where it was asked to go."""

from .service import Exporter

__all__ = ["Exporter"]
