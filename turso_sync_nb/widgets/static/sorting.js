// Sorting by the heads of columns.

/** Turn from unsorted to ascending, to descending, and back; mark the head of the column. */
export function turnSort(choice, column, heads) {
  if (choice.sort !== column) Object.assign(choice, { sort: column, descending: false });
  else if (!choice.descending) choice.descending = true;
  else Object.assign(choice, { sort: null, descending: false });
  markSort(choice, heads);
}

/** Mark the head of the sorted column; `heads` are by what columns are known by. */
export function markSort({ sort, descending }, heads) {
  for (const [column, head] of heads) {
    if (column === sort) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}
