"""Changes that are read from the tape again are the same, however they are parted; a list is the model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.changes.model import RowChange, SchemaChange, TableSchema
from turso_sync_nb.changes.taped import Count, TapedChanges, schema_changes, shown

T = TableSchema(1, "t", ("a",), ())
KINDS = st.lists(st.sampled_from(["row", "ignored", "schema", "schema amid effects"]), max_size=12)
ENDS = st.tuples(st.integers(-14, 14), st.none() | st.integers(-14, 14))


def changed(number: int, kind: str) -> RowChange | SchemaChange:
    """Return a change of a kind; ids are not without gaps."""
    if kind.startswith("schema"):
        return SchemaChange(3 * number, "CREATE TABLE x (a)", "create", "x")
    return RowChange(3 * number, T.changed(ignored=kind == "ignored"), "insert", None, (number,))


@given(kinds=KINDS, parts=st.lists(ENDS, max_size=3))
def test_parts_of_parts(kinds, parts):
    """Every part has the changes, the length and the places of schema changes that the list's part has."""
    model = [changed(number, kind) for number, kind in enumerate(kinds, 1)]
    count, asked = Count(), []
    for change, kind in zip(model, kinds, strict=True):
        count.take([change], is_clean=kind == "schema")

    def read(after):
        asked.append(after)
        return (change for change in whole if change.id > after)

    whole = list(model)
    taped = TapedChanges(read, 0, count)
    assert shown(taped) == shown(tuple(model))
    for first, end in parts:
        taped, model = taped[first:end], model[first:end]
    assert list(taped) == model
    assert len(taped) == len(model)
    assert [taped[at] for at in range(len(model))] == model
    assert schema_changes(taped) == schema_changes(tuple(model))
    clean = {0, *(change.id for change, kind in zip(whole, kinds, strict=True) if kind == "schema")}
    assert set(asked) <= clean
