"""`python -m services.console`."""

from metriq_gym.service.service import main

from . import Console

main(Console)
