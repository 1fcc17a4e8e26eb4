"""Faults on real servers: whatever breaks, an audit afterwards finds nothing lost and nothing twice."""
