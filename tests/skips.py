"""When a test may skip: for a peer that this machine lacks, and for nothing else.

TSN_REQUIRE_ALL=1 turns even those skips into failures.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

PEERS_THAT_MAY_MISS = ("browser", "tursodb", "pyturso", "npm", "libsql")
REQUIRE_ALL = os.environ.get("TSN_REQUIRE_ALL") == "1"


def miss(reason: str) -> NoReturn:
    """Skip the test for want of a peer, or fail it where every peer is required."""
    if REQUIRE_ALL:
        pytest.fail(f"{reason} (TSN_REQUIRE_ALL=1)", pytrace=False)
    pytest.skip(reason)


def why_not_to_skip(reason: str) -> str | None:
    """Return what is wrong with skipping for ``reason``, or None when it is allowed."""
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(tuple(f"{peer}: " for peer in PEERS_THAT_MAY_MISS)):
        return f"skipped for {reason!r}: only a missing {', '.join(PEERS_THAT_MAY_MISS)} may skip a test"
    if REQUIRE_ALL:
        return f"skipped for {reason!r}, and TSN_REQUIRE_ALL=1 allows no skip"
    return None


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip that is not allowed into a failure; an expected failure is not a skip."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if wrong := why_not_to_skip(reason):
        report.outcome = "failed"
        report.longrepr = wrong
