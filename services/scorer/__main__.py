"""`python -m services.scorer`."""

from metriq_gym.service.service import main
from services.scorer import Scorer

main(Scorer)
