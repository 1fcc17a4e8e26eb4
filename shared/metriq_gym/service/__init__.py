"""The chassis of every service: connecting, consuming, attempts, leases, loops, worker processes, health.

What a service does with a message stands in `services`; nothing here knows a benchmark or a provider.
"""
