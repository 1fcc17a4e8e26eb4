"""The message queue: one port, RabbitMQ and memory behind it."""
