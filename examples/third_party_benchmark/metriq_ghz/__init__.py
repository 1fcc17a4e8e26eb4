"""A benchmark for Metriq-Gym in a package of its own."""
