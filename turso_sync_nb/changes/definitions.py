"""Compare definitions of schema objects as SQLite reads them: token by token.

Servers store a definition in their own spelling. So the comparison ignores comments, white space, quotes of
names, the case of names and keywords, and ``IF NOT EXISTS``; ``<>`` equals ``!=`` and ``==`` equals ``=``. In
doubt two definitions differ.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from turso_sync_nb.changes.names import folded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from turso_sync_nb.changes.model import Conflict

_TOKEN: Final = re.compile(
    r"""(?P<skipped>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))"""
    r"""|(?P<text>[xX]?'(?:[^']|'')*')"""
    r"""|(?P<quoted>"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`)"""
    r"""|(?P<plain><>|!=|==|<=|>=|\|\||<<|>>|->>|->|\d[\w.]*|\.\d\w*|[^\W\d][\w$]*|.)""",
    re.DOTALL,
)
_SAME: Final = {"<>": "!=", "==": "="}
SPELLINGS: Final = (
    (("if", "not", "exists"), ()),
    (("not", "null"), ("notnull",)),
    (("insert", "or", "replace"), ("replace",)),
    (("cross", "inner", "join"), ("cross", "join")),
    (("left", "outer", "join"), ("left", "join")),
)
"""Words that a server may put in the place of others."""

_OF_TABLE: Final = frozenset({"constraint", "primary", "unique", "check", "foreign"})
"""First words of what stands in a CREATE TABLE beside its columns."""
_TRIGGERS_KEPT: Final = 1024
"""Texts of triggers of which is remembered what they do: each captured statement asks about all of them."""

_HEAD_TOKENS_MAX: Final = 32
"""Tokens, comments and white space among them, within which a CREATE statement has its name."""

_TYPES: Final = frozenset({"table", "index", "view", "trigger"})


class Token(NamedTuple):
    """One token, as it is compared; ``is_name``: it was in quotes that make it a name."""

    text: str
    is_name: bool = False


def tokens(sql: str) -> Iterator[Token]:
    """Yield the tokens of ``sql``, comments and white space left out."""
    for found in _TOKEN.finditer(sql):
        text = found[0]
        if found["text"]:
            yield Token(text)
        elif found["quoted"]:
            yield Token(folded(_unquoted(text)), is_name=True)
        elif found["plain"]:
            yield Token(_SAME.get(text, folded(text)))


def same_definition(one: str, other: str) -> bool:
    """Return whether two statements define the same thing."""
    return one == other or _compared(one) == _compared(other)


def _compared(sql: str) -> list[str]:
    found: list[str] = []
    for token in tokens(sql):
        found.append(token.text)
        for words, other in SPELLINGS:
            if found[-len(words) :] == list(words):
                found[-len(words) :] = other
    while found and found[-1] == ";":
        found.pop()
    return found


def without_comments(sql: str) -> str:
    """Return ``sql`` with every comment, and every white space, as one space."""
    return "".join(" " if found["skipped"] else found[0] for found in _TOKEN.finditer(sql))


def defaults_as_texts(sql: str) -> str:
    """Return ``sql`` with every DEFAULT that is in the quotes of names in those of texts."""
    parts: list[str] = []
    before = ""
    for found in _TOKEN.finditer(sql):
        text = found[0]
        if found["quoted"] and before == "default":
            text = "'" + _unquoted(text).replace("'", "''") + "'"
        if not found["skipped"]:
            before = folded(text)
        parts.append(text)
    return "".join(parts)


def object_type(sql: str) -> str:
    """Return ``table``, ``index``, ``view`` or ``trigger`` of a CREATE or DROP statement; else empty."""
    words = [token.text for token, _ in zip(tokens(sql), range(4), strict=False)]
    return next((word for word in words[1:] if word in _TYPES), "")


def defined_name(sql: str) -> str:
    """Return the name of what a CREATE statement makes, as it is written there; empty if it makes nothing."""
    found = [one for one in islice(_TOKEN.finditer(sql), _HEAD_TOKENS_MAX) if not one["skipped"]]
    words = [folded(one[0]) for one in found]
    at = next((at for at, word in enumerate(words) if word in _TYPES), len(words)) + 1
    at += 3 if words[at : at + 3] == ["if", "not", "exists"] else 0
    at += 2 if words[at + 1 : at + 2] == ["."] else 0
    if at >= len(found):
        return ""
    text = found[at][0]
    return _unquoted(text) if text[0] in "\"'`[" else text


def _unquoted(text: str) -> str:
    """Return what stands in the quotes of ``text``, in which they are doubled but for brackets."""
    mark = text[-1]
    return text[1:-1] if mark == "]" else text[1:-1].replace(mark * 2, mark)


def dropped(sql: str) -> tuple[str, str | None] | None:
    """Return what a statement drops with its values: a table, or a table and a column of it; else ``None``.

    Names are folded as they are compared.
    """
    found = list(tokens(sql))
    words = [token.text for token in found]
    if words[:2] == ["drop", "table"]:
        at = 4 if words[2:4] == ["if", "exists"] else 2
        table, _ = name_at(found, at)
        return (table, None) if table else None
    if words[:2] != ["alter", "table"]:
        return None
    table, at = name_at(found, 2)
    if words[at : at + 1] != ["drop"] or words[at + 1 : at + 2] == ["constraint"]:
        return None
    names = found[at + 1 :]
    if len(names) > 1 and names[0] == Token("column"):
        names = names[1:]
    return (table, names[0].text) if names else None


def concerned(sql: str) -> str:
    """Return the name, folded, of what an ALTER TABLE or a DROP statement is about; else nothing."""
    found = list(tokens(sql))
    words = [token.text for token in found[:4]]
    if words[:1] not in (["alter"], ["drop"]):
        return ""
    return name_at(found, 4 if words[2:4] == ["if", "exists"] else 2)[0]


def name_at(found: Sequence[Token], at: int) -> tuple[str, int]:
    """Return the name at ``at``, the schema's before it passed over, and where it ends."""
    if len(found) > at + 2 and found[at + 1].text == ".":
        at += 2
    return (found[at].text if len(found) > at else ""), at + 1


def columns(sql: str) -> dict[str, list[str]]:
    """Return the definition of each column in a CREATE TABLE, by its folded name; empty for another text."""
    found = list(tokens(sql))
    begin = next((at for at, token in enumerate(found) if token.text == "("), None)
    if begin is None or "as" in [token.text for token in found[:begin]]:
        return {}
    parts: list[list[Token]] = [[]]
    depth = 1
    for token in found[begin + 1 :]:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if not token.is_name else 0
        if not depth:
            break
        if depth == 1 and token.text == "," and not token.is_name:
            parts.append([])
        else:
            parts[-1].append(token)
    return {
        part[0].text: [token.text for token in part[1:]]
        for part in parts
        if part and (part[0].is_name or part[0].text not in _OF_TABLE)
    }


_RULES: Final = (("collate",), ("on", "conflict"), ("integer", "primary", "key", "desc"))


def rules_beside_checks(sql: str) -> frozenset[str]:
    """Return which of some rules a CREATE TABLE has that a server's ALTER may lose, CHECKs left out.

    They are ``collate``, ``on conflict`` and ``integer primary key desc``, which is no rowid.
    """
    words: list[str] = []
    depth = inside = 0
    for token in tokens(sql):
        text = "" if token.is_name else token.text
        depth += text == "("
        if text == "(" and words[-1:] == ["check"] and not inside:
            inside = depth
        if not inside:
            words.append(text)
        if text == ")":
            inside = 0 if inside == depth else inside
            depth -= 1
    return frozenset(
        " ".join(rule)
        for rule in _RULES
        if any(tuple(words[at : at + len(rule)]) == rule for at in range(len(words)))
    )


def mentions(sql: str, names: Sequence[str] | frozenset[str]) -> bool:
    """Return whether a token of ``sql`` is one of the folded ``names``."""
    return any(token.text in names for token in tokens(sql))


@lru_cache(_TRIGGERS_KEPT)
def written_by_trigger(sql: str) -> frozenset[str]:
    """Return the folded names of the tables that the statements of a CREATE TRIGGER write to."""
    found = list(tokens(sql))
    words = [token.text for token in found]
    begin = next(
        (at for at, token in enumerate(found) if token.text == "begin" and not token.is_name), len(words)
    )
    written = set()
    for at in range(begin, len(words) - 1):
        if found[at].is_name:
            continue
        is_target = (words[at] == "into") or (words[at] == "from" and words[at - 1] == "delete")
        if is_target:
            written.add(name_at(found, at + 1)[0])
        elif words[at] == "update" and words[at - 1] in ("begin", ";"):
            after = at + 3 if words[at + 1] == "or" else at + 1
            written.add(name_at(found, after)[0])
    return frozenset(written)


def statements_of_trigger(trigger: str) -> Iterator[list[Token]]:
    """Yield the statements of a CREATE TRIGGER."""
    found = list(tokens(trigger))
    begins = [at for at, token in enumerate(found) if token == Token("begin")]
    one: list[Token] = []
    for token in found[begins[0] + 1 :] if begins else ():
        if token == Token(";"):
            yield one
            one = []
        else:
            one.append(token)


def conflict_algorithm(sql: str) -> Conflict:
    """Return what an INSERT or UPDATE says about rows in its way, a WITH before it passed over."""
    depth, before = 0, ("", "")
    for token in tokens(sql):
        text = "" if token.is_name else token.text
        depth += {"(": 1, ")": -1}.get(text, 0)
        if not depth and before[0] == "or" and before[1] in ("ignore", "replace"):
            return "ignore" if before[1] == "ignore" else "replace"
        if not depth and text in ("into", "set", "from"):
            return "replace" if before[1] == "replace" else ""
        before = before[1], text
    return ""


@lru_cache(_TRIGGERS_KEPT)
def writes_rows(trigger: str) -> bool:
    """Return whether the statements of a CREATE TRIGGER insert or update rows."""
    words = [token.text for token in tokens(trigger) if not token.is_name]
    body = words[words.index("begin") :] if "begin" in words else []
    return not {"insert", "update", "replace"}.isdisjoint(body)


@lru_cache(_TRIGGERS_KEPT)
def has_upsert(trigger: str) -> bool:
    """Return whether a CREATE TRIGGER has an INSERT with ON CONFLICT."""
    words = [token.text for token in tokens(trigger) if not token.is_name]
    return any(pair == ("on", "conflict") for pair in pairwise(words))


def reaching(triggers: Iterable[tuple[str, str]], wanted: Callable[[str], bool]) -> frozenset[str]:
    """Return the folded names of tables of which a trigger is ``wanted``, or writes to such a table.

    ``triggers`` are tables' names with the texts of their triggers.
    """
    listed = [(folded(table), sql) for table, sql in triggers]
    found = {table for table, sql in listed if wanted(sql)}
    written = [(table, written_by_trigger(sql)) for table, sql in listed]
    while more := {table for table, tables in written if not found.isdisjoint(tables)} - found:
        found |= more
    return frozenset(found)


def moving_own_rows(triggers: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the folded names of tables whose rows a BEFORE trigger of theirs writes, itself or by others.

    ``triggers`` are tables' names with the texts of their triggers.
    """
    listed = [(folded(table), written_by_trigger(sql), _is_before(sql)) for table, sql in triggers]
    found = set()
    for table, written, is_before in listed:
        reached: set[str] = set()
        more = written if is_before else set()
        while more:
            reached |= more
            more = set().union(*(to for name, to, _ in listed if name in reached)) - reached
        if table in reached:
            found.add(table)
    return frozenset(found)


def _is_before(trigger: str) -> bool:
    words = (token.text for token in tokens(trigger) if not token.is_name)
    return next((word for word in words if word in ("before", "after", "instead", "begin")), "") == "before"


def columns_waited_for(trigger: str) -> frozenset[str] | None:
    """Return the columns of UPDATE OF, none where any update fires it; ``None`` if no update does."""
    found = list(tokens(trigger))
    for at, token in enumerate(found):
        if token in (Token("insert"), Token("delete")):
            return None
        if token == Token("update"):
            end = found.index(Token("on"), at)
            return frozenset(each.text for each in found[at + 2 : end] if each.is_name or each.text != ",")
    return None


def fires_on_delete(trigger: str) -> bool:
    """Return whether a DELETE fires a CREATE TRIGGER."""
    events = (Token("insert"), Token("update"), Token("delete"))
    return next((token.text for token in tokens(trigger) if token in events), "") == "delete"
