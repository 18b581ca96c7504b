"""The kinds of replica that tests make."""

from __future__ import annotations

from functools import partial

import turso_sync_nb as tsn


def lazily(length: int = 4096, segment_size: int = 16 * 1024) -> dict[str, tsn.PartialSyncOpts]:
    """Return the options of a small prefix, so that nearly everything is read lazily."""
    strategy = tsn.PartialSyncPrefixBootstrap(length=length)
    return {"partial_sync": tsn.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=segment_size)}


def by_query(query: str) -> dict[str, tsn.PartialSyncOpts]:
    """Return the options of a bootstrap by query."""
    return {
        "partial_sync": tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncQueryBootstrap(query=query))
    }


KINDS = {
    "whole": dict,
    "prefix": lazily,
    "query": partial(by_query, "SELECT count(*) FROM visit"),
}
