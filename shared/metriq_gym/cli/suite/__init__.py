"""``mgym suite …``: many benchmarks at once, a module for each command."""
