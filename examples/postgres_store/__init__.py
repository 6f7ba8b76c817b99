"""A store in PostgreSQL: what it takes to keep the port ``sagaflow.ports.Store`` on a database of your own.

It is an example to learn from, and whole: it passes the contract suite that comes with the library, against a real
server (``tests/postgres``). It needs asyncpg, and was tried with PostgreSQL 15.

``postgres_order.py`` beside it sells orders on it. In a program of yours, give it to the engine in place of a URL::

    Engine(sagas=[OrderSaga], store=PostgresStore("postgresql://user:password@localhost/shop"), broker="amqp://…")

The modules, in the order in which they are best read:

* ``schema``: the tables, and what the server must be like.
* ``statements``: the SQL. Each act is one statement, so it is atomic, takes one round trip, and leaves no transaction
  open in which a process could be stopped while others wait for its locks.
* ``changes``: the two acts on many sagas at once, each saga by itself.
* ``store``: the port, method by method.
* ``heart``: who is alive.
* ``calls``: the connections, time limits, and what the server's errors mean.

What is confirmed is on the server's disk. To survive the loss of that server too, give it a synchronous standby
(``synchronous_standby_names``) and name both in the URL (``postgresql://user@first,second/shop``).
"""

from .store import PostgresStore

__all__ = ["PostgresStore"]
