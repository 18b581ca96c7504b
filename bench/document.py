"""``docs/bench.md`` and ``docs/bench.svg``: tables and a chart of the last whole run, and the machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw
from figures import HEAD, line, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from figures import Figure, Series
    from matplotlib.axes import Axes

DOCS: Final = Path(__file__).parent.parent / "docs"
TEXT: Final = """\
# Figures

What `make bench` measured{when}: ours beside pyturso {pyturso} in one run on one `tursodb`, in turns.
Native is SQLite on a plain file: the limit of what can be had. A ratio below 1 is in our favour; it is taken
within each pair of runs, so that a machine's mood does not pass for speed. Requests and bytes are exact.

Machine: {machine}. Ten million
steps of a Python loop took {pace_s:.1f} s on it. Limits in milliseconds do not follow that.

![Times beside pyturso](bench.svg)
"""


WHY: Final = {
    "whole bootstrap": (
        "what is above *download, write and fsync* is a check and a copy of each page, SQLite opened, and "
        "the replica's own files; `tursodb` makes its whole answer before it sends any, so only the sending "
        "is there to overlap with"
    ),
    "partial bootstrap": (
        "one request, as pyturso's; what is above it is a check of the schema and nine waits for the disk: "
        "the folder, metadata, pages, page map, metadata, and metadata again at the close"
    ),
    "lookup by key": "two requests, as pyturso's; what is above them is a speculative run before each",
    "ordered LIMIT": "two requests, as pyturso's; what is above them is a speculative run before each",
    "pull of 600 pages": (
        "what is above *download, write and fsync* is a check of each page, a replay of each waiting change, "
        "what `pulled()` compares, and SQLite opened again; pages go into their places in the file, apart "
        "from each other, where pyturso appends them to its log"
    ),
    "push of 20,000 updates": (
        "what is above the server's own time is the list read and each row's guard made, in Python"
    ),
    "200,000 rows by INSERT": (
        "each row is written twice, into its table and onto the list of what waits; what is above *native "
        "with our triggers* is the statement's accounting"
    ),
    "the same, keys assigned": (
        "each row takes one more row of the list, that SQLite chose its key; what is above *native with our "
        "triggers* is the statement's accounting"
    ),
    "join of 100 rows": "what is above the requests is a speculative run before each",
    "cold scan, count(*)": (
        "SQLite asks a VFS for each page by itself; what is above *any VFS in Python* is a look at the page "
        "map, a note for read-ahead, and what kind of page it is"
    ),
    "20,000 inserts by executemany": (
        "each row is written twice; what is above *native with our triggers* is the statement's accounting"
    ),
    "import and %load_ext": "what is above the libraries is 250 modules of ours",
    "a million rows into": (
        "what is above the rows is that each column is looked through, and built as an array"
    ),
    "bootstrap of 20 MB, 16 clients": "one Python interpreter checks and sends for all clients",
    "push of 500 rows, 16 clients": "one Python interpreter reads the statements of all clients in turn",
    "1000 listeners": "one Python interpreter answers all, and takes their next requests: 1 ms for each",
}
"""Lines by their beginnings, and why they may be over their limit, whatever the machine."""

EXPLAINED_MAX: Final = {
    "whole bootstrap": 1.3,
    "partial bootstrap": 1.5,
    "lookup by key": 1.2,
    "ordered LIMIT": 1.2,
    "cold scan, count(*)": 1.8,
    "20,000 inserts by executemany": 3.6,
    "a million rows into": 0.5,
    "pull of 600 pages": 1.4,
    "push of 20,000 updates": 0.65,
    "200,000 rows by INSERT": 3.3,
    "the same, keys assigned": 3.6,
    "bootstrap of 20 MB, 16 clients": 1.4,
    "push of 500 rows, 16 clients": 2.0,
}
"""The ratios up to which a line may be over its limit for such a reason; beyond, something else is wrong."""

_SERVERS: Final = "the server's processor time"
_LIMITS: Final = (
    *("download, write and fsync", "the same requests over a socket", "any VFS in Python"),
    *("native with our triggers", "the rows out of APSW", "IPython and the libraries alone"),
    *("a server of ready answers", _SERVERS),
)
"""Sides of lines that are the machine's own limit, or the server's."""


def explained(found: Sequence[Figure]) -> str:
    """Return a sentence for each line that is over its limit, with the machine's own limit of that run."""
    known = []
    for one in (figure for figure in found if figure.within is False):
        why = next((why for begin, why in WHY.items() if one.what.startswith(begin)), "")
        limits = [own_limit(other) for other in found if other.what == one.what and other is not one]
        if text := "; ".join(filter(None, [*limits, why])):
            known.append(f"- *{one.what}*: {text}")
    return "\nOver their limits:\n\n" + "\n".join(known) + "\n" if known else ""


def is_right(one: Figure) -> bool:
    """Return whether a line is within its limit, or over it for a reason that is written down."""
    if one.within is not False:
        return True
    most = next((most for begin, most in EXPLAINED_MAX.items() if one.what.startswith(begin)), 0.0)
    return bool(one.ratio) and float(one.ratio.split(" / ")[1]) <= most


def own_limit(other: Figure) -> str:
    """Return what ``other``, the same work on another side, says if that side is a limit."""
    name = next((name for name in _LIMITS if other.theirs.endswith(name)), "")
    if not name:
        return ""
    median = other.ratio.split(" / ")[1]
    if name == _SERVERS:
        return f"of {name}, ours takes {median} of what pyturso's takes"
    return f"{name}: {other.theirs.removesuffix(name).strip()}, ours {median} times that"


def write(parts: Mapping[str, Sequence[Figure]], took_s: float) -> None:
    """Write both files."""
    DOCS.mkdir(exist_ok=True)
    text = TEXT.format(
        when=f" in {took_s / 60:.0f} minutes", pyturso=version("pyturso"), machine=machine(), pace_s=pace_s()
    )
    for name, found in parts.items():
        lines = [HEAD, ("---",) * len(HEAD), *map(line, found)]
        rows = "\n".join(f"| {' | '.join(each)} |" for each in lines)
        text += f"\n## {name}\n\n{rows}\n{explained(found)}"
    (DOCS / "bench.md").write_text(text)
    chart([figure.series for found in parts.values() for figure in found if figure.series])


def machine() -> str:
    """Return what it ran on."""
    model = next(
        (text.split(":")[1].strip() for text in _lines("/proc/cpuinfo") if text.startswith("model name")),
        platform.machine(),
    )
    memory_kb = next(int(text.split()[1]) for text in _lines("/proc/meminfo") if text.startswith("MemTotal"))
    return (
        f"{model}, {os.cpu_count()} cores, {memory_kb / 2**20:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}"
    )


def pace_s() -> float:
    """Return the seconds that a loop of ten million steps takes, by which machines can be compared."""
    began_s, total = time.perf_counter(), 0
    for number in range(10_000_000):
        total += number
    return time.perf_counter() - began_s


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def chart(series: Sequence[Series]) -> None:
    """Draw, for each group, the times of both sides on a scale of powers of ten."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    groups = list(dict.fromkeys(each.group for each in series))
    heights = [sum(each.group == group for each in series) + 1 for group in groups]
    figure, axes = plt.subplots(
        len(groups), figsize=(9, 0.42 * sum(heights) + 1), height_ratios=heights, squeeze=False
    )
    for group, (axis,) in zip(groups, axes, strict=True):
        _bars(axis, group, [each for each in series if each.group == group])
    figure.tight_layout()
    figure.savefig(DOCS / "bench.svg", metadata={"Date": None})
    plt.close(figure)


def _bars(axis: Axes, group: str, series: Sequence[Series]) -> None:
    peer = group.removeprefix("beside ") if group.startswith("beside ") else "pyturso"
    for number, (label, colour) in enumerate((("ours", "#0b6bcb"), (peer, "#b0b7c3"))):
        times = [each.other if number else each.mine for each in series]
        medians = [statistics.median(each) for each in times]
        spread = [
            [median - min(each) for median, each in zip(medians, times, strict=True)],
            [max(each) - median for median, each in zip(medians, times, strict=True)],
        ]
        places = [at + 0.4 * number for at in range(len(series))]
        axis.barh(places, medians, 0.38, xerr=spread, label=label, color=colour, ecolor="#444", capsize=2)
        for place, median, each in zip(places, medians, times, strict=True):
            axis.text(max(each) * 1.08, place, seconds(median), va="center", fontsize=8)
    axis.set_xscale("log")
    axis.margins(x=0.22)
    axis.set_yticks([at + 0.2 for at in range(len(series))], [each.what for each in series])
    axis.invert_yaxis()
    axis.set_title(group if group.startswith("beside") else f"the server is {group}", loc="left")
    axis.xaxis.set_major_formatter(lambda value, _: seconds(value))
    axis.xaxis.set_minor_formatter("")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.99), ncols=2, frameon=False)
