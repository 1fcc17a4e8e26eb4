"""What an operator does: check an installation, see how the work stands, decide about parked jobs, import, give rights.

Nothing here runs in a service.
"""
