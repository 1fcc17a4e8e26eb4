"""`python -m services.exporter`."""

from metriq_gym.service.service import main
from services.exporter import Exporter

main(Exporter)
