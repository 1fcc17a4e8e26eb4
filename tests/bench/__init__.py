"""Measurements: numbers, never pass or fail on time. `make bench` prints them."""
