"""`python -m services.dispatcher`."""

from metriq_gym.service.service import main
from services.dispatcher import Dispatcher

main(Dispatcher)
