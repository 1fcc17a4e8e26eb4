"""`python -m services.exporter`."""

from metriq_gym.service.service import main

from . import Exporter

main(Exporter)
