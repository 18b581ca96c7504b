"""Find triggers that must not fire again when a push sets the random values of a row.

A push sends such values as an UPDATE of their columns alone. A trigger that this UPDATE fires would do its
work twice if it writes to another table, or if it counts in its own (``version = version + 1``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.definitions import (
    Token,
    columns_waited_for,
    statements_of_trigger,
    tokens,
    written_by_trigger,
)
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.volatile import COLUMNS, parted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import apsw

_OF_TEXT: Final = frozenset({"lower", "upper", "trim", "ltrim", "rtrim"})
"""Functions whose value, put through any of them again as it was, stays as it is."""

_SETTLING: Final = _OF_TEXT | {"coalesce", "ifnull", "abs"}
"""Functions whose value, put through the same one again, stays as it is."""

_FIRST_OF: Final = (["coalesce", "("], ["ifnull", "("])

_DIFFER: Final = ("!=", "is not", "is distinct from")
_ENDS: Final = frozenset({"where", "from", "returning"})


def refired(raw: apsw.Connection, table: str, columns: frozenset[str]) -> str:
    """Return a trigger that setting ``columns`` fires, and whose work would be done twice; empty if none."""
    query = "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
    rows: list[Any] = raw.execute(query, (table,)).fetchall()
    known: list[Any] = raw.execute(COLUMNS, (table,)).fetchall()
    stored = frozenset(folded(name) for name, _ in known)
    is_set = differs = columns
    while True:  # what a trigger sets fires others
        before = is_set, differs
        for name, sql in rows:
            named, condition = columns_waited_for(sql), _condition(sql)
            if named is None or (named and not named & is_set) or _never(condition, stored - differs):
                continue
            if written_by_trigger(sql) - {table}:
                return str(name)
            for words in statements_of_trigger(sql):
                if Token("into") in words or _undoes([*condition, *words], columns) or _adds(words):
                    return str(name)
                is_set |= _columns_set(words, settled=True)
                differs |= _columns_set(words, settled=False)
        if before == (is_set, differs):
            return ""


def _columns_set(words: list[Token], *, settled: bool) -> frozenset[str]:
    """Return the columns that an UPDATE sets; ``settled``: those too that it sets to what they are."""
    sides = _set(words)
    given = _given(sides)
    return _given(each for each in sides if settled or not _is_settled(*each, given))


def _undoes(words: list[Token], columns: frozenset[str]) -> bool:
    """Return whether a statement of a trigger keeps ``columns`` as they were, or lets nothing change them."""
    if Token("raise") in words:
        return any(one == Token("old") and folded(to.text) in columns for one, _, to in _threes(words))
    return any(
        Token("old") in right and not columns.isdisjoint(folded(each.text) for each in left)
        for left, right in _set(words)
    )


def _threes(words: Sequence[Token]) -> Iterable[tuple[Token, Token, Token]]:
    return zip(words, words[1:], words[2:], strict=False)


def _given(sides: Iterable[tuple[list[Token], list[Token]]]) -> frozenset[str]:
    return frozenset(folded(each.text) for left, _ in sides for each in left) - set("(),")


def _set(words: list[Token]) -> list[tuple[list[Token], list[Token]]]:
    """Return what an UPDATE sets, and to what."""
    begins = [at for at, token in enumerate(words) if token == Token("set")]
    parts = [one for at in begins for one in parted(words[at + 1 :], set(_ENDS))]
    equals = [next((at for at, each in enumerate(one) if each == Token("=")), 0) for one in parts]
    return [(one[:at], one[at + 1 :]) for one, at in zip(parts, equals, strict=True)]


def _adds(words: list[Token]) -> bool:
    """Return whether an UPDATE comes to something else when it is done twice: it reads what it sets."""
    sides = _set(words)
    given = _given(sides)
    return any(_reads(right, given) and not _is_settled(left, right, given) for left, right in sides)


def _reads(words: Sequence[Token], columns: frozenset[str]) -> bool:
    return any(folded(each.text) in columns for each in words)


def _is_settled(left: Sequence[Token], right: Sequence[Token], given: frozenset[str]) -> bool:
    """Return whether a column is set to what changes it no further: ``lower(name)``, ``ifnull(name, 0)``."""
    itself = {folded(each.text) for each in left}
    if len(left) != 1 or _reads(right, given - itself):
        return False
    if [each.text for each in right[:2]] in _FIRST_OF and folded(right[2].text) in itself:
        return right[3] == Token(",")  # it is filled once
    called = {word.text for word, after in pairwise(right) if after == Token("(")}
    plain = all(word.is_name or word.text[:1].isalnum() or word.text[0] in "_(),.'" for word in right)
    return plain and called <= _SETTLING and (len(called) <= 1 or called <= _OF_TEXT)


def _condition(trigger: str) -> list[Token]:
    """Return the words of a trigger's WHEN; none where it has none."""
    found = list(tokens(trigger))
    begin = next((at for at, token in enumerate(found) if token == Token("begin")), len(found))
    when = next((at for at, token in enumerate(found[:begin]) if token == Token("when")), begin)
    return found[when + 1 : begin]


def _never(words: Sequence[Token], same: frozenset[str]) -> bool:
    """Return whether a condition is never true while the columns ``same`` stay as they are."""
    if not words or not {"between", "case"}.isdisjoint(word.text for word in words):
        return False
    while words[:1] == [Token("(")] and _closes(words) == len(words) - 1:
        words = words[1:-1]
    for word, never in (("or", all), ("and", any)):
        terms = _split(words, word)
        if len(terms) > 1:
            return never(_never(one, same) for one in terms)
    texts = [word.text for word in words]
    rows = {texts[0], texts[-3]} if len(texts) > len("a.b") else set()
    return (
        rows == {"old", "new"}
        and texts[1] == texts[-2] == "."
        and texts[2] == texts[-1]
        and texts[2] in same
        and " ".join(texts[3:-3]) in _DIFFER
    )


def _closes(words: Sequence[Token]) -> int:
    """Return where the bracket closes with which ``words`` begin."""
    depth = 0
    for at, token in enumerate(words):
        depth += {"(": 1, ")": -1}.get("" if token.is_name else token.text, 0)
        if not depth:
            return at
    return len(words)


def _split(words: Sequence[Token], by: str) -> list[list[Token]]:
    """Return what a word parts, outside of brackets."""
    depth, found = 0, [list[Token]()]
    for token in words:
        text = "" if token.is_name else token.text
        depth += {"(": 1, ")": -1}.get(text, 0)
        if text == by and not depth:
            found.append([])
        else:
            found[-1].append(token)
    return found
