"""`python -m services.scorer`."""

from metriq_gym.service.service import main

from . import Scorer

main(Scorer)
