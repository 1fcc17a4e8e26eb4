"""Using the system from Python: publish requests, find, follow, wait for and upload jobs and suites.

A client talks to the queue and the store, never to a provider. The names below are the public ones.
"""

from metriq_gym.client.client import Client, Progress, brief, connect, decision_about, embedded, failure_of, open_store

__all__ = ["Client", "Progress", "brief", "connect", "decision_about", "embedded", "failure_of", "open_store"]
