"""Job documents in MongoDB; every query the project makes lives here."""
