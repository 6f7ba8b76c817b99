"""The orders of ``order_saga.py``, with their state in PostgreSQL: one that goes well, and one that is undone.

``postgres_store`` beside it is the store, an example of how to write one. It needs asyncpg, and a database in which it
may make tables::

    pip install asyncpg
    export SAGAFLOW_EXAMPLE_POSTGRES_URL='postgresql://user:password@localhost/shop'
    python examples/postgres_order.py

A URL after the name of the program comes before the variable.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
from functools import partial
from pathlib import Path

from order_saga import OrderSaga, sell
from postgres_store import PostgresStore
from shop import Order, Shop

from sagaflow import Engine


async def main(url: str) -> None:
    """Sell two orders. Their sagas stay in the database; the shop's books do not outlive the program."""
    number = secrets.token_hex(4)  # what an earlier run has sold is in the database too
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "books.db")
        async with Engine(sagas=[partial(OrderSaga, shop)], store=PostgresStore(url)) as engine:
            print("1. An order that goes well")
            await sell(shop, Order(f"o-{number}-1", "ada", 9_900))
            print("2. An order whose payment is declined: what was done is undone, in reverse")
            await sell(shop, Order(f"o-{number}-2", "grace", 990_000))
            print("3. What the database knows of the latest sagas")
            for saga in (await engine.list(limit=2)).sagas:
                print(f"  {saga.id} is {saga.status}")


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SAGAFLOW_EXAMPLE_POSTGRES_URL")
    if not given:
        sys.exit("Name a database: export SAGAFLOW_EXAMPLE_POSTGRES_URL='postgresql://user:password@localhost/shop'")
    asyncio.run(main(given))
