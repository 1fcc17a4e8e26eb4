"""What a job is: its documents, states and lifecycle, its plan, estimate, score and replay, and a suite's progress.

Everything here is pure: no queue, no database, no network, no clock.
"""

from metriq_gym.jobs.documents import Export, Failure, Job, Task
from metriq_gym.jobs.states import TERMINAL, ExportState, JobState, TaskState

__all__ = ["TERMINAL", "Export", "ExportState", "Failure", "Job", "JobState", "Task", "TaskState"]
