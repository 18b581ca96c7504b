"""Declare and check the options of a replica, named as in Turso's Python package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from turso_sync_nb.errors import UsageError
from turso_sync_nb.units import PAGE_SIZE

SEGMENT_SIZE_DEFAULT: Final = 128 * 1024
"""Bytes behind an absent page that one lazy read asks for where no better order is known, at most."""


def _check_whole(size: object, name: str) -> None:
    if not isinstance(size, int):
        raise UsageError(
            f"fetch lazily: {name} is {type(size).__name__}", hint="give whole bytes, such as 128 * 1024"
        )


@dataclass(frozen=True)
class PartialSyncPrefixBootstrap:
    """Begin with the first ``length`` bytes of the database (rounded up to whole pages)."""

    length: int

    def __post_init__(self) -> None:
        _check_whole(self.length, "length")
        if self.length < PAGE_SIZE:
            raise UsageError(
                f"bootstrap a prefix of {self.length} bytes: shorter than a page",
                hint=f"ask for at least {PAGE_SIZE} bytes, such as 128 * 1024",
            )


@dataclass(frozen=True)
class PartialSyncQueryBootstrap:
    """Begin with the pages that ``query`` touches on the remote."""

    query: str

    def __post_init__(self) -> None:
        if not isinstance(self.query, str) or not self.query.strip():
            raise UsageError(
                "bootstrap by query: the query is empty or no text", hint="give a SELECT statement"
            )


@dataclass(frozen=True)
class PartialSyncOpts:
    """Keep a partial replica: pages that are not here arrive when a query touches them.

    A lazy fetch begins with one page, and grows along the order in which a query reads. ``segment_size`` is
    the most, in bytes, that it asks for where nothing but the place in the file is known; with
    ``prefetch=False``, the most that it ever asks for.
    """

    bootstrap_strategy: PartialSyncPrefixBootstrap | PartialSyncQueryBootstrap
    segment_size: int | None = None
    prefetch: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.bootstrap_strategy, PartialSyncPrefixBootstrap | PartialSyncQueryBootstrap):
            raise UsageError(
                f"fetch lazily: bootstrap_strategy is {type(self.bootstrap_strategy).__name__}",
                hint="give a PartialSyncPrefixBootstrap or a PartialSyncQueryBootstrap",
            )
        if self.segment_size is not None:
            _check_whole(self.segment_size, "segment_size")
        if self.segment_size is not None and self.segment_size < PAGE_SIZE:
            raise UsageError(
                f"fetch segments of {self.segment_size} bytes: shorter than a page",
                hint=f"ask for at least {PAGE_SIZE} bytes, such as 128 * 1024",
            )


class RemoteEncryptionCipher(Enum):
    """The ciphers of encrypted remote databases, under the names of Turso's package.

    The value is how many bytes at the end of each page the remote keeps for a nonce and a tag.
    """

    Aes256Gcm = ("aes256gcm", 28)
    Aes128Gcm = ("aes128gcm", 28)
    ChaCha20Poly1305 = ("chacha20poly1305", 28)
    Aegis128L = ("aegis128l", 32)
    Aegis128X2 = ("aegis128x2", 32)
    Aegis128X4 = ("aegis128x4", 32)
    Aegis256 = ("aegis256", 48)
    Aegis256X2 = ("aegis256x2", 48)
    Aegis256X4 = ("aegis256x4", 48)

    @property
    def reserved_bytes(self) -> int:
        """Bytes at the end of each page that SQLite leaves alone."""
        return self.value[1]

    @classmethod
    def named(cls, cipher: object) -> RemoteEncryptionCipher:
        """Return the cipher of that name, in any spelling of case and hyphens, or of Turso's own enumeration.

        Raises:
            UsageError: there is none.
        """
        name = str(cipher).rpartition(".")[2].lower().replace("-", "").replace("_", "")
        for one in cls:
            if one.value[0] == name:
                return one
        raise UsageError(
            "connect: remote_encryption_cipher is none that is known",
            hint=f"use one of {', '.join(one.name for one in cls)}",
        )


@dataclass(frozen=True)
class Rewrite:
    """The statement that a transform puts in a change's place, with its parameters by position."""

    sql: str
    parameters: tuple[Any, ...] = ()


class Skip(Enum):
    """The type of :data:`SKIP`."""

    SKIP = "skip"


SKIP: Final = Skip.SKIP
"""The value by which a transform skips a change: neither pushed nor replayed on a newer state."""

Transform: TypeAlias = Callable[[Any], Rewrite | Skip | None]
"""Called with each change of a row (``.op``, ``.shape.table``, ``.shape.columns``, ``.old``, ``.new``);
``None`` keeps it."""
