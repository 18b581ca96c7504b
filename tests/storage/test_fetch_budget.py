"""How many pages a query may still fetch: a table of budgets and of what was spent."""

from __future__ import annotations

import pytest

from turso_sync_nb.errors import FetchBudgetError, RemoteUnreachableError
from turso_sync_nb.storage.pages.fetch_budget import FetchBudget

PAGE = 4096
BUDGETS = {
    "no limit": (None, 1_000, None),
    "nothing spent": (10 * PAGE, 0, 10),
    "some spent": (10 * PAGE, 7, 3),
    "less than a page left": (10 * PAGE - 1, 9, "spent"),
    "all spent": (10 * PAGE, 10, "spent"),
    "more spent": (10 * PAGE, 11, "spent"),
    "less than a page": (PAGE - 1, 0, "spent"),
    "nothing allowed": (0, 0, "spent"),
}
"""Bytes allowed, pages spent, and the pages left; None: any number."""


@pytest.mark.parametrize("name", BUDGETS)
def test_what_is_left(name):
    """Whole pages, or an error that says how much came."""
    allowed, spent, left = BUDGETS[name]
    budget = FetchBudget(allowed)
    for _ in range(spent):
        budget.spend(1)
    if left != "spent":
        assert budget.pages_left(3) == left
    else:
        with pytest.raises(FetchBudgetError, match="fetch page 3"):
            budget.pages_left(3)


@pytest.mark.parametrize("allowed", [None, 10 * PAGE, 0])
def test_offline_nothing_is_left(allowed):
    """Whatever the limit; the error is another one."""
    with pytest.raises(RemoteUnreachableError, match="offline"):
        FetchBudget(allowed, offline=True).pages_left(3)
