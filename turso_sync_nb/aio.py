"""Connections whose every verb is awaited, with the names of ``turso.aio.sync``.

from turso_sync_nb import aio

async with aio.connect("flights.db", "http://127.0.0.1:8080") as db:
    cursor = await db.execute("SELECT count(*) FROM flights")
    await cursor.fetchone()
    await db.push()
"""

from __future__ import annotations

from turso_sync_nb.connection.aio import ConnectionSync, Cursor, connect

__all__ = ["ConnectionSync", "Cursor", "connect"]
