"""The console: the page and the HTTP API, on the queue and the store."""

from .service import Console

__all__ = ["Console"]
