"""The four deployables (dispatcher, poller, scorer, exporter) and the embedded runtime that joins them."""
