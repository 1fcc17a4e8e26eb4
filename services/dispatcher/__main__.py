"""`python -m services.dispatcher`."""

from metriq_gym.service.service import main

from . import Dispatcher

main(Dispatcher)
