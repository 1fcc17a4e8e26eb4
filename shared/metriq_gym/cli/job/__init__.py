"""``mgym job …``: everything about one job, a module for each command."""
