"""A door in front of a server that counts what goes through, and may make the way to it longer.

Rules of this file: it forwards bytes and understands none of them, so both clients are counted and delayed
alike, HTTP headers included. ``tursodb`` closes a connection after each answer: there a connection is a
request. A round trip is half a delay for the bytes of each way, and a whole one for a connection to begin;
how many bytes are on their way at once is not limited by it.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE: Final = 256 * 1024
PIECES_ON_THEIR_WAY_MAX: Final = 4096


@dataclass(frozen=True)
class Count:
    """What went through: connections with at least one byte, bytes up, bytes down."""

    requests: int = 0
    sent: int = 0
    received: int = 0

    def __sub__(self, earlier: Count) -> Count:
        return Count(
            self.requests - earlier.requests, self.sent - earlier.sent, self.received - earlier.received
        )

    def __add__(self, more: Count) -> Count:
        return Count(self.requests + more.requests, self.sent + more.sent, self.received + more.received)


class CountingDoor:
    """Listen on a free port and forward to ``port`` until the ``with`` block ends."""

    def __init__(self, port: int, round_trip_s: float = 0.0) -> None:
        self.url = ""
        self._port = port
        self._round_trip_s = round_trip_s
        self._count = Count()
        self.requests: list[bytearray] = []
        """What each connection sent so far."""
        self._served: set[asyncio.Task[None] | None] = set()  # the loop holds its tasks weakly
        self._listens = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _listen(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=PIECE)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._listens.set()
        await self._end.wait()
        server.close()

    def count(self) -> Count:
        """Return the count so far."""
        return self._count

    def _add(self, more: Count) -> None:
        self._count += more

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._served.add(task)
        try:
            await asyncio.sleep(self._round_trip_s)
            there, back = await asyncio.open_connection("127.0.0.1", self._port, limit=PIECE)
            up = asyncio.create_task(self._pass_on(reader, back, self._went_up()))
            try:
                await self._pass_on(there, writer, lambda piece: self._add(Count(received=len(piece))))
            finally:
                await _ended(up)
                back.close()
        except ConnectionError:  # no server there: the client is told by the end of its connection
            pass
        except asyncio.CancelledError:  # the block ends; asyncio complains of a cancelled handler before 3.12
            pass
        finally:
            writer.close()
            self._served.discard(task)

    def _went_up(self) -> Callable[[bytes], None]:
        sent = bytearray()

        def note(piece: bytes) -> None:
            if not sent:
                self.requests.append(sent)
            self._add(Count(requests=int(not sent), sent=len(piece)))
            sent.extend(piece)

        return note

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, note: Callable[[bytes], None]
    ) -> None:
        """Pass bytes on, each piece half a round trip after it came, and then the end."""
        way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES_ON_THEIR_WAY_MAX)

        async def take() -> None:
            piece = b"begin"
            while piece:
                try:
                    piece = await source.read(PIECE)
                except ConnectionError:
                    piece = b""
                await way.put((self._loop.time() + self._round_trip_s / 2, piece))

        taking = asyncio.create_task(take())
        try:
            while True:
                due_s, piece = await way.get()
                if (wait_s := due_s - self._loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                if not piece:
                    break
                note(piece)
                target.write(piece)
                await target.drain()
            if target.can_write_eof():
                target.write_eof()
        except ConnectionError:  # the reader left, as a client does amid an answer that it has enough of
            pass
        finally:
            await _ended(taking)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])
