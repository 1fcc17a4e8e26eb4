"""The message queue: a port with RabbitMQ and memory behind it, identities, retry policies, dead letters.

Nothing here knows what a message makes a service do, and only `rabbitmq` imports aio-pika.
"""
