"""Whether the user chose how pandas' frames are shown: their choice goes before the table of ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.escaping import as_html
from turso_sync_nb.jupyter.rendering import MimeBundle, lines_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_CHANGED: Final = re.compile(r"\[default: (.*?)\] \[currently: (.*?)\]")


def is_chosen() -> bool:
    """Say whether the user set options of pandas' display, or another HTML form, as itables does."""
    import pandas as pd

    form: Any = getattr(pd.DataFrame, "_repr_html_", None)
    if not str(getattr(form, "__module__", "")).startswith("pandas."):
        return True
    described: str = pd.describe_option("display", _print_desc=False)
    return any(default != now for default, now in _CHANGED.findall(described))


def chosen_bundle(frame: pd.DataFrame, notes: Sequence[str]) -> MimeBundle:
    """Return ``frame`` as the user has frames shown, with ``notes`` under it."""
    said = lines_bundle(notes)["text/plain"]
    bundle = {"text/plain": f"{frame!r}\n{said}"}
    if html := frame._repr_html_():  # type: ignore[operator]
        lines = "".join(f"<div><small>{as_html(note)}</small></div>" for note in said.splitlines())
        bundle["text/html"] = f'{html}<div class="tex2jax_ignore mathjax_ignore">{lines}</div>'
    return bundle


def is_as_made(frame: pd.DataFrame, rows: int) -> bool:
    """Say whether ``frame`` still has the numbering of a result of ``rows`` rows.

    An index that was set, rows that were dropped, or labels are shown by pandas alone.
    """
    import pandas as pd

    index = frame.index
    return isinstance(index, pd.RangeIndex) and (index.start, index.step, len(index), index.name) == (
        0,
        1,
        rows,
        None,
    )
