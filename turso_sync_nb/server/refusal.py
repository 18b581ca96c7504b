"""Refuse a request with a status and a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

from turso_sync_nb.protocol.pipeline import SqlError, encode_error

if TYPE_CHECKING:
    from http import HTTPStatus


class RefusedError(Exception):
    """Answer with ``status`` and the message: as text, or as the pipeline's error if it has a ``code``."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        headers: dict[str, str] | None = None,
        *,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self._status = status
        self._headers = headers
        self.code = code

    def response(self) -> Response:
        """Return the answer."""
        if self.code is None:
            return PlainTextResponse(str(self), self._status, self._headers)
        body = encode_error(SqlError(str(self), self.code))
        return Response(body, self._status, self._headers, media_type="application/json")
