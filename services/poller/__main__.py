"""`python -m services.poller`."""

from metriq_gym.service.service import main

from . import Poller

main(Poller)
