"""The tables in which replicas meet, and what their users do there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import apsw
from model import COUNTED

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from random import Random

    from model import Meeting
    from peer import Peer
    from programs import Taste

VALUES: Final = (None, 0, -1, 2.5, "", "text", b"\0\xff", "long " * 1500)
KEYS_MAX: Final = 12
_OWN: Final = "own (who, n, v, w)"

_SCHEMA: Final = f"""
CREATE TABLE own (who INTEGER, n INTEGER, v, w, moment, PRIMARY KEY (who, n)) {{form}};
CREATE TABLE total (who INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE bare (who, v);
CREATE TABLE shared (id INTEGER PRIMARY KEY, token TEXT, a, b);
CREATE TABLE parent (id INTEGER PRIMARY KEY {{auto}}, token TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY, token TEXT, parent REFERENCES parent);
CREATE TABLE claim (name TEXT PRIMARY KEY, token);
CREATE TABLE note (token TEXT);
CREATE TABLE hits (id INTEGER PRIMARY KEY, n INTEGER);
CREATE TRIGGER counted {{when}} INSERT ON own BEGIN
  UPDATE total SET n = n + 1 WHERE who IN (new.who, {COUNTED}); END;
{{stamps}}
INSERT INTO total VALUES (0, 0), (1, 0), (2, 0), ({COUNTED}, 0);
INSERT INTO hits VALUES (1, 0);
"""
_STAMP: Final = """CREATE TRIGGER stamped_{number} AFTER {event} ON own BEGIN
  UPDATE own SET moment = julianday('now') WHERE who = new.who AND n = new.n; END;"""
_STAMPED: Final = ("INSERT", "UPDATE OF v, w")


def schema(chance: Random, taste: Taste) -> str:
    """Return the schema of the tables, as chance has it."""
    return _SCHEMA.format(
        form=chance.choice(("", "WITHOUT ROWID")) if taste.is_sqlite else "",
        auto=chance.choice(("", "AUTOINCREMENT")),
        when="AFTER",
        stamps="\n".join(
            _STAMP.format(number=number, event=event)
            for number, event in enumerate(_STAMPED)
            if chance.randrange(2)
        ),
    )


# Rows that one replica has to itself, in tables that all have


def write_rows(peer: Peer, chance: Random) -> None:
    """Change rows that nobody else touches."""
    rows, who, n = peer.rows.copy(), peer.who, chance.randrange(8)
    one, two = chance.choice(VALUES), chance.choice(VALUES)
    arguments: tuple[Any, ...]
    match chance.randrange(8):
        case 0 | 1 if n not in rows.own:
            sql, arguments = f"INSERT INTO {_OWN} VALUES (?, ?, ?, ?)", (who, n, one, two)
            rows.own[n], rows.total = (one, two), rows.total + 1
        case 0 | 1 | 2 if n in rows.own:
            sql, arguments = "UPDATE own SET v = ? WHERE who = ? AND n = ?", (one, who, n)
            rows.own[n] = (one, rows.own[n][1])
        case 3:
            sql, arguments = "DELETE FROM own WHERE who = ? AND n = ?", (who, n)
            rows.own.pop(n, None)
        case 4:
            sql, arguments = "INSERT INTO bare VALUES (?, ?)", (who, one)
            rows.bare.append(one)
        case 5:
            sql, arguments = f"REPLACE INTO {_OWN} VALUES (?, ?, ?, ?)", (who, n, one, two)
            rows.own[n], rows.total = (one, two), rows.total + 1
        case 6:
            sql = f"INSERT INTO {_OWN} VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET v = excluded.v"
            arguments = (who, n, one, two)
            rows.total += n not in rows.own
            rows.own[n] = (one, rows.own.get(n, (None, two))[1])
        case _:
            sql, arguments = "UPDATE own SET w = ? WHERE who = ?", (two, who)
            rows.own = {key: (row[0], two) for key, row in rows.own.items()}
    peer.write(sql, arguments, lambda: setattr(peer, "rows", rows))


# Rows that are fought over; each of these is a transaction of its own


class Fight:
    """What a user does to rows that others change as well."""

    def __init__(self, peer: Peer, known: Meeting, chance: Random) -> None:
        self.peer, self.known, self.chance = peer, known, chance
        self.token = f"{peer.who}-{chance.getrandbits(40)}"

    def step(self) -> None:
        """Do one of the things."""
        kinds = (self.insert, self.insert, self.insert_under_a_key, self.change, self.delete, self.family,
                 self.family, self.move, self.delete_parent, self.count, self.ignored_insert,
                 self.take_note)  # fmt: skip
        (kind,) = self.chance.choices(kinds, self.known.habits(len(kinds)))
        kind()

    def _write(self, sql: str, *arguments: Any, tokens: tuple[str, ...] = ()) -> None:
        self.peer.write(sql, arguments, lambda: self.known.tokens.update(tokens))

    def insert(self) -> None:
        """Insert a row whose key SQLite chooses."""
        value = self.chance.randrange(9)
        self.known.auto.add(self.token)
        self._write("INSERT INTO shared (token, a) VALUES (?, ?)", self.token, value, tokens=(self.token,))

    def take_note(self) -> None:
        """Insert a row into a table without keys: nothing but care keeps it from coming twice."""
        self._write("INSERT INTO note VALUES (?)", self.token, tokens=(self.token,))

    def insert_under_a_key(self) -> None:
        """Insert a row under a key that is free here."""
        ((highest,),) = self.peer.run("SELECT ifnull(max(id), 0) FROM shared")
        key = highest + self.chance.choice((1, 1, 2, 3))
        self.known.keys[self.token] = key
        self._write("INSERT INTO shared (id, token) VALUES (?, ?)", key, self.token, tokens=(self.token,))

    def ignored_insert(self) -> None:
        """Insert a row under a key that is taken here, which is ignored; then one whose key is free."""
        found = self.peer.run("SELECT name FROM claim LIMIT 1")
        if found:
            self._write("INSERT OR IGNORE INTO claim VALUES (?, ?)", found[0][0], "never")
        self._write("INSERT OR IGNORE INTO shared (id, token) SELECT id, 'never' FROM shared LIMIT 1")
        self.insert_under_a_key()

    def change(self) -> None:
        """Change a row, whoever made it."""
        key = self.chance.randrange(1, KEYS_MAX)
        self._write("UPDATE shared SET a = ?, b = a WHERE id = ?", self.chance.randrange(9), key)

    def delete(self) -> None:
        """Delete a row, whoever made it."""
        key = self.chance.randrange(1, KEYS_MAX)
        self._deleting(f"SELECT token FROM shared WHERE id = {key}", f"DELETE FROM shared WHERE id = {key}")

    def delete_parent(self) -> None:
        """Delete a parent, whoever made it; its children stay."""
        found = self.peer.run("SELECT id FROM parent ORDER BY id")
        if found and not self.peer.enforces:
            (key,) = self.chance.choice(found)
            self._deleting(
                f"SELECT token FROM parent WHERE id = {key}", f"DELETE FROM parent WHERE id = {key}"
            )

    def _deleting(self, seen: str, sql: str) -> None:
        gone = {token for (token,) in self.peer.run(seen)}
        self.known.deleted |= gone
        self._write(sql)

    def family(self) -> None:
        """Insert a parent and a child of it together; with some of them, a name that others claim too."""
        db, child = self.peer.db, f"{self.token}-child"
        self.known.auto |= {self.token, child}
        name = f"name {self.chance.randrange(6)}" if self.chance.randrange(2) else None
        db.execute("BEGIN")
        try:
            cursor = db.execute("INSERT INTO parent (token) VALUES (?)", (self.token,))
            if self.chance.randrange(3) == 0:  # the child comes in another transaction
                db.execute("COMMIT")
                self.known.tokens.add(self.token)
                db.execute("BEGIN")
            db.execute("INSERT INTO child (token, parent) VALUES (?, ?)", (child, cursor.lastrowid))
            if name:
                db.execute("INSERT INTO claim VALUES (?, ?)", (name, f"{self.token}-claim"))
            db.execute("COMMIT")
        except (tsn.Error, apsw.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
            if name and self.peer.run(f"SELECT 1 FROM claim WHERE name = '{name}'"):
                return  # it is taken
            raise
        self.known.tokens |= {self.token, child, *([f"{self.token}-claim"] if name else [])}
        self.known.parents[child] = [self.token]

    def move(self) -> None:
        """Give a child another parent that is here."""
        parents = self.peer.run("SELECT id, token FROM parent ORDER BY id")
        children = [token for (token,) in self.peer.run("SELECT token FROM child ORDER BY id")
                    if token.startswith(f"{self.peer.who}-")]  # fmt: skip
        if parents and children:
            (key, token), child = self.chance.choice(parents), self.chance.choice(children)
            self._write("UPDATE child SET parent = ? WHERE token = ?", key, child)
            self.known.parents.setdefault(child, []).append(token)

    def count(self) -> None:
        """Raise the counter that everybody raises."""
        if "transform" in self.peer.options:
            self._write("UPDATE hits SET n = n + 1 WHERE id = 1")
            self.known.hits += 1

    # The schema

    def schema_step(self) -> None:
        """Change a table that others make, change and drop too; or write to it."""
        table = f"fought{self.chance.randrange(2)}"
        there = self.peer.run(f"SELECT sql FROM sqlite_schema WHERE name = '{table}'")
        default = self.chance.choice(("1", f"'{self.token}'"))
        if not there:
            extra = self.chance.choice(("", ", extra", f", extra DEFAULT {default}"))
            self._schema(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, token TEXT{extra})")
            return
        column, other = self.chance.choice("xyz"), self.chance.choice("xyz")
        kind = self.chance.choice(("TEXT", "INTEGER"))
        changes = (
            f"DROP TABLE {table}",
            f"ALTER TABLE {table} ADD COLUMN {column} {kind} DEFAULT {default}",
            f"ALTER TABLE {table} DROP COLUMN {column}",
            f"ALTER TABLE {table} RENAME COLUMN {column} TO {other}",
            f"CREATE INDEX {table}_by ON {table} ({self.chance.choice(('token', column))})",
            f"ALTER TABLE {table} RENAME TO fought{self.chance.randrange(3)}",
            "",
            "",
        )
        (sql,) = self.chance.choices(changes, self.known.habits(len(changes)))
        if not sql:
            self._write(f"INSERT INTO {table} (token) VALUES (?)", self.token, tokens=(self.token,))
            return
        if "DROP" in sql:
            self.known.removed.append(there[0][0])
        if sql.startswith("DROP"):
            self.known.deleted |= {token for (token,) in self.peer.run(f"SELECT token FROM {table}")}
        self._schema(sql)

    def _schema(self, sql: str) -> None:
        defined = (self.token,) if self.token in sql else ()
        try:
            self.peer.write(sql, (), lambda: self.known.defined.update(defined))
        except apsw.Error as error:
            if isinstance(error, tsn.SyncError):
                raise  # such a statement may fail, as in plain SQLite
        except tsn.UsageError as error:
            if "the remote cannot hold DEFAULT" not in str(error):
                raise  # tursodb does not take some, and the statement is refused here
