"""Who may do what at RabbitMQ and MongoDB: one user for each service, with the least it needs."""

from metriq_gym.operations.access.rights import (
    ALL,
    CONSOLE,
    MONITOR,
    OPERATOR,
    PUBLISHER,
    SERVICES,
    Permission,
    Rights,
    TopicPermission,
)

__all__ = ["ALL", "CONSOLE", "MONITOR", "OPERATOR", "PUBLISHER", "SERVICES", "Permission", "Rights", "TopicPermission"]
