"""The files of the page: they come with the package, hold no data, and are read once."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ..views.style import STYLE
from .gate import OPEN

_FOLDER: Final = Path(__file__).parent / "static"
_STYLES: Final = ("base.css", "parts.css", "saga.css")
_INDEX: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Page:
    """The handlers for the files."""

    def __init__(self) -> None:
        files = {file.name: file.read_bytes() for file in _FOLDER.iterdir() if file.suffix in _TYPES}
        # Drawings are put into the page without their style, which a strict policy would not let them bring along.
        files["page.css"] = b"\n".join([STYLE.encode(), *(files.pop(name) for name in _STYLES)])
        self._files = {
            name: (content, f'"{blake2b(content, digest_size=12).hexdigest()}"') for name, content in files.items()
        }

    def handlers(self) -> list[HTTPRouteHandler]:
        """All of them."""

        @get("/", include_in_schema=False, opt=OPEN)
        async def index(request: Request[Any, Any, Any]) -> Response[bytes]:
            return self._file(request, _INDEX)

        @get("/static/{name:str}", include_in_schema=False, opt=OPEN)
        async def static(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
            return self._file(request, name)

        return [index, static]

    def _file(self, request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        if name not in self._files:
            raise NotFoundException
        content, mark = self._files[name]
        headers = {"ETag": mark, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == mark:
            return Response(b"", status_code=304, headers=headers)
        return Response(content, media_type=_TYPES[Path(name).suffix], headers=headers)
