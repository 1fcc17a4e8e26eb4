"""IBM's service as far as the provider ``ibm`` uses it, over real HTTP: see `server`."""
