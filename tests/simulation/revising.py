"""What a user does with transactions that wait: gives one up, or takes one up again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from random import Random

    from model import Meeting
    from peer import Peer


def revise(peer: Peer, known: Meeting, chance: Random) -> None:
    """Give up or take up again a transaction in which replicas met."""
    met = in_which_replicas_met(peer)
    if not met:
        return
    number = chance.choice(met)
    known.is_revised = True
    known.revised |= tokens_of(peer, number)
    verb = chance.choice((peer.db.skip, peer.db.retry, peer.db.retry))
    rows, definitions = _fought(peer)
    with suppress(tsn.UsageError):  # it has reached the remote
        verb(number)
    if verb == peer.db.retry:  # a DROP was set aside with what it would remove: the user has seen that
        rows_left, definitions_left = _fought(peer)
        known.deleted |= rows - rows_left
        known.removed += definitions - definitions_left


def tokens_of(peer: Peer, number: int) -> set[str]:
    """Return the tokens of the rows of a transaction."""
    changes = peer.db.changes()
    rows = [row for side in ("old", "new") for row in changes[changes["transaction"] == number][side]]
    return {str(row.get("token")) for row in rows if isinstance(row, dict)}


def in_which_replicas_met(peer: Peer) -> list[int]:
    """Return the transactions of a replica that touch nothing that it has to itself."""
    own, found = {"own", "total", "bare", "hits", "cells"}, []
    for number, rows in peer.db.changes().groupby("transaction"):
        names = set(rows["table"])
        if not (names & own or any(name.startswith(peer.mirror.names.prefix) for name in names)):
            found.append(int(number))
    return found


def _fought(peer: Peer) -> tuple[set[str], set[str]]:
    """Return the tokens of the rows in tables whose schema is fought over, and how these are defined."""
    listed = dict(
        peer.run("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name GLOB 'fought*'")
    )
    tokens = {token for name in listed for (token,) in peer.run(f'SELECT token FROM "{name}"')}
    return tokens, set(listed.values())
