"""`python -m services.poller`."""

from metriq_gym.service.service import main
from services.poller import Poller

main(Poller)
