"""Job documents in MongoDB; every query the project makes lives here."""

from metriq_gym.store.documents import TERMINAL, Export, ExportState, Failure, Job, JobState, Task, TaskState
from metriq_gym.store.store import Store

__all__ = ["TERMINAL", "Export", "ExportState", "Failure", "Job", "JobState", "Store", "Task", "TaskState"]
