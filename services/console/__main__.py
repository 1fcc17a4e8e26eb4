"""`python -m services.console`."""

from metriq_gym.service.service import main
from services.console import Console

main(Console)
