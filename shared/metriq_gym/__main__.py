"""`python -m metriq_gym` is `mgym`."""

from metriq_gym.cli import main

main()
