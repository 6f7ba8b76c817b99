"""Real servers for tests and benchmarks, private to the process that starts them.

    with RabbitMQNode() as node, MongoReplicaSet() as mongo:
        print(node.url, mongo.database_url("orders"))

Plain synchronous code without pytest. Each server has a free port and a temporary directory of its
own; both are given back when the block is left, and also when this process is killed.
"""

from tests.servers.mongodb import MongoMember, MongoReplicaSet
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerFailed
from tests.servers.rabbitmq import RabbitMQNode

__all__ = ["MongoMember", "MongoReplicaSet", "PostgresServer", "RabbitMQNode", "ServerFailed"]
