"""Side by side with metriq-gym's own tool: `make compare`."""
