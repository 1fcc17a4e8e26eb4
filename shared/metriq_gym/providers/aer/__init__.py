"""Qiskit Aer as a provider: circuits run in the poller, exactly, within a bounded memory."""
