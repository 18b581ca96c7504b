"""A server that sends one ready answer to whatever it is asked, by uvicorn as the embedded server does.

It is the limit of that server: what is above it is reading the request, the database, and making the answer.
Run as a program: the file of the answer, and the port.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

READY: Final = "a server of ready answers"


def main(answer: Path, port: int) -> None:
    """Serve until the process is ended."""
    body = answer.read_bytes()

    async def app(
        _scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        while (await receive()).get("more_body"):
            pass
        head = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    uvicorn.run(app, port=port, lifespan="off", ws="none", log_config=None, access_log=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
