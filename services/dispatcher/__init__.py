"""The dispatcher: validates requests, builds and compiles circuits, and hands them to the provider."""

from .service import Dispatcher

__all__ = ["Dispatcher"]
