"""Pages of one answer to pull-updates, as long as its block lasts: one that is closed is not whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turso_sync_nb.errors import ProtocolError, RemoteFailedError, UsageError
from turso_sync_nb.generators import ended

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from turso_sync_nb.protocol.pull_updates import PullDecoder, PullHeader
    from turso_sync_nb.units import PageId


class PullResponse:
    """One answer to pull-updates: ``header`` is here, ``pages()`` are on their way.

    ``database`` is what the server calls the database, empty if it does not say.
    """

    def __init__(
        self, header: PullHeader, decoder: PullDecoder, chunks: Iterator[bytes], database: str = ""
    ) -> None:
        self.header = header
        self.database = database
        self._decoder = decoder
        self._pages = _pages_of(decoder, chunks)

    def pages(self, together_max: int = 1) -> Iterator[tuple[PageId, bytes]]:
        """Yield the pages as they arrive, up to ``together_max`` that follow each other as one item.

        May be called once.

        Raises:
            RemoteFailedError: the answer broke off; what was yielded is good.
            ProtocolError: it does not follow the protocol.
            UsageError: the ``with`` block has ended.
        """
        self._decoder.together_max = together_max
        if not (yield from self._pages):
            raise closed()

    def close(self) -> None:
        """End it where it is; may be repeated."""
        self._pages.close()


def _pages_of(decoder: PullDecoder, chunks: Iterator[bytes]) -> Generator[tuple[PageId, bytes], None, bool]:
    """Yield the pages of an answer as they arrive, and return true: all of them came."""
    with ended(chunks):
        yield from decoder.feed(b"")  # those that came with the header
        for chunk in chunks:
            yield from decoder.feed(chunk)
    try:
        decoder.finish()
    except ProtocolError as error:
        raise RemoteFailedError(f"read answer: it broke off ({error.args[0]})", hint="try again") from error
    return True


def closed() -> UsageError:
    """Return the error for reading an answer after its block."""
    return UsageError("read answer: it is closed", hint="read its pages inside the with block")
