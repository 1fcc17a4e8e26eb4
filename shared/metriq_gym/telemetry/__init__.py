"""Logs, metrics and traces.

Nothing here knows a job, a queue or a database; every other room may log, count and trace.
"""
