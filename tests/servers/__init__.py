"""Real servers for the tests: given by the environment, else in Docker, else private native ones."""
