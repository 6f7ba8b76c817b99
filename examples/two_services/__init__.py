"""Two services that sell orders together, each on a queue of its own, over RabbitMQ and MongoDB.

* ``selling``: what both know: the saga, step by step, and what its steps need from either side.
* ``orders``: the order service, with FastAPI and SagaFlow's page in front; does the steps of queue ``orders``.
* ``payments``: the payment service, a worker; does the steps of queue ``payments``.

From the folder ``examples``, each in a terminal of its own::

    python -m two_services.orders
    sagaflow worker two_services.payments:service

``docs/two_services.md`` walks through it: an order that is sold, one that fails, why, and how it is brought to its end.
"""
