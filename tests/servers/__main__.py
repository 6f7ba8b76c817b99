"""Servers to try things out with, where there is no Docker: ``python -m tests.servers``, until Ctrl-C."""

import signal
import sys
from contextlib import suppress

from tests.servers import MongoReplicaSet, RabbitMQNode

for kind in (RabbitMQNode, MongoReplicaSet):
    if reason := kind.missing():
        sys.exit(reason)
signal.signal(signal.SIGTERM, signal.default_int_handler)
with suppress(KeyboardInterrupt), RabbitMQNode() as rabbitmq, MongoReplicaSet() as mongodb:
    print(f"export SAGAFLOW_STORE='{mongodb.database_url('shop')}'")
    print(f"export SAGAFLOW_BROKER='{rabbitmq.url}'", flush=True)
    signal.pause()
