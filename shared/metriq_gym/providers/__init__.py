"""Where circuits run: the port every provider implements, and the providers by name."""
