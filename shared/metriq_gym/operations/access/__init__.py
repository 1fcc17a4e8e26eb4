"""Who may do what at RabbitMQ and MongoDB: one user for each service, with the least it needs."""

from metriq_gym.operations.access.rights import (
    ALL,
    MONITOR,
    OPERATOR,
    PUBLISHER,
    SERVICES,
    Permission,
    Rights,
    TopicPermission,
)

__all__ = ["ALL", "MONITOR", "OPERATOR", "PUBLISHER", "SERVICES", "Permission", "Rights", "TopicPermission"]
