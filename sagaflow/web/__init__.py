"""An HTTP API and a page for those who run sagas: ``pip install 'sagaflow[web]'``.

>>> from sagaflow.web import app, serve

``serve`` is a server of its own; ``app`` is an ASGI application, to be served or mounted as any other.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("litestar") is None or find_spec("uvicorn") is None:
    raise ImportError("sagaflow.web needs litestar and uvicorn. Write: pip install 'sagaflow[web]'")

from .access import Authenticate, Connection
from .application import app
from .serving import serve

__all__ = ["Authenticate", "Connection", "app", "serve"]
