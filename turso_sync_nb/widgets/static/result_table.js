// The table under a result: pages of rows, sorted, filtered and searched where they are, in the kernel.

import { button, count, dim, group, h, number, scrollerOf, tableOf } from "./elements.js";
import { barsOf } from "./figures.js";
import { turnSort } from "./sorting.js";
import { connect } from "./view.js";

const SEARCH_AFTER_MS = 250;

function render({ model, el }) {
  el.classList.add("tsn-widget", "tsn-result");
  const { request, foot, close } = connect(model, el, "head", { head, rows, summary, whole });
  const choice = { sort: null, descending: false, filters: {}, search: "" };
  let columns = [], shown = [], first = 0, total = 0, perPage = 20, later, isSampled = false;
  const headRow = h("tr"), sums = h("tr", { class: "tsn-sums" }), filters = h("tr", { class: "tsn-filters" }), body = h("tbody");
  const table = tableOf(headRow, body);
  table.tHead.append(sums, filters);
  const act = (label, onclick, name) => button(label, onclick, name, { "aria-label": name });
  const position = h("span", { class: "tsn-summary", role: "status" });
  const note = h("div", { class: "tsn-notes" });
  const search = h("input", { type: "search", placeholder: "search", "aria-label": "search all columns", oninput: () => soon(() => (choice.search = search.value)) });
  const filtersOn = button("Filter", () => {
    filters.hidden = !filters.hidden;
    filtersOn.setAttribute("aria-pressed", String(!filters.hidden));
  });
  filters.hidden = true;
  const pager = { start: act("«", () => ask(0), "first page"), back: act("‹", () => ask(first - perPage), "page before"),
    on: act("›", () => ask(first + perPage), "next page"), end: act("»", () => ask(Math.floor((total - 1) / perPage) * perPage), "last page") };
  const file = h("input", { value: "result.csv", "aria-label": "file to save to, .csv or .parquet" });
  const save = h("details", { class: "tsn-save" }, h("summary", {}, "Save"), h("span", {}, file,
    act("Save", () => request("save", { ...choice, path: file.value }), "save all rows that match")));
  el.append(
    group("rows", search, filtersOn, pager.start, pager.back, pager.on, pager.end, position,
      act("Copy", () => copy(asCsv()), "copy this page as CSV"), act("Markdown", () => copy(asMarkdown()), "copy this page as Markdown"), save),
    scrollerOf("rows of the result", table), note, foot.element);

  function soon(change) {
    change();
    clearTimeout(later);
    later = setTimeout(() => ask(0), SEARCH_AFTER_MS);
  }

  const ask = (from) => request("rows", { ...choice, first: Math.max(from, 0), count: perPage });

  function head(message) {
    columns = message.columns;
    perPage = message.rows_shown;
    isSampled = false;
    const left = message.columns_in_all - columns.length;
    note.textContent = [...message.notes, ...(left ? [`${count(left, "more column")} not shown`] : [])].join(" · ");
    headRow.replaceChildren(...columns.map((column, at) => h("th", { scope: "col" },
      button(column.name, () => sortBy(at), `sort by ${column.name}`, { class: "tsn-sort", "aria-label": `sort by ${column.name}` }), h("small", {}, ` ${column.type}`))));
    sums.replaceChildren(...columns.map(() => h("td")));
    filters.replaceChildren(...columns.map((column, at) => h("td", {}, h("input", { "aria-label": `filter ${column.name}`, placeholder: "> 5, = x", title: "> 5, <= 5, = x, != x, part of a text, null, not null",
      oninput: (event) => soon(() => (choice.filters[at] = event.target.value)) }))));
    ask(0);
    columns.forEach((_, at) => request("summary", { column: at }));
  }

  function sortBy(at) {
    turnSort(choice, at, [...headRow.children].entries());
    ask(0);
  }

  function rows(message) {
    ({ first, total } = message);
    shown = message.rows;
    foot.status({ text: "", failed: false, busy: "" });
    body.replaceChildren(...message.rows.map((row, line) => h("tr", {}, ...row.map(([kind, text], at) => {
      const cut = text.endsWith("…");
      return h("td", { class: kind === "number" ? "tsn-number" : `tsn-${kind}` }, cut ? button(text,
        () => request("whole", { row: message.places[line], column: at }), "show all of it", { class: "tsn-more" }) : text);
    }))));
    position.textContent = total ? `${number(first + 1)}–${number(first + shown.length)} of ${count(total, "row")}` : "no row matches";
    const atStart = first === 0, atEnd = first + shown.length >= total;
    for (const each of Object.values(pager)) each.hidden = atStart && atEnd;
    dim(pager.start, atStart), dim(pager.back, atStart), dim(pager.on, atEnd), dim(pager.end, atEnd);
  }

  function summary({ column, nulls, sampled, bars, ends, top, distinct }) {
    const parts = [];
    if (bars) {
      parts.push(barsOf(bars, `from ${ends[0]} to ${ends[1]}`));
    } else if (top) {
      parts.push(h("div", { class: "tsn-top" }, top.map(([value, times]) => `${value} ${number(times)}`).slice(0, 2).join(" · ")));
      parts.push(h("div", {}, `${number(distinct)} distinct`));
    }
    if (sampled && !isSampled) note.textContent = [note.textContent, "bars, top values and distinct counts are of a sample of the rows"].filter(Boolean).join(" · ");
    isSampled ||= sampled;
    if (nulls) parts.push(h("div", {}, `${number(nulls)} NULL`));
    sums.children[column]?.replaceChildren(h("small", { title: sampled ? "of a sample" : null }, ...parts));
  }

  function whole({ text }) {
    foot.status({ text, failed: false, busy: "" });
  }

  function copy(text) {
    const done = (ok) => foot.status({ text: ok ? `copied ${count(shown.length, "row")}` : "the browser does not allow copying here", failed: !ok, busy: "" });
    if (!navigator.clipboard) return done(false);
    navigator.clipboard.writeText(text).then(() => done(true), () => done(false));
  }

  const plain = ([kind, text]) => (kind === "null" ? "" : text);
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const asCsv = () => [columns.map((each) => each.name), ...shown.map((row) => row.map(plain))].map((line) => line.map(quoted).join(",")).join("\n");
  const bar = (line) => `| ${line.map((text) => text.replaceAll("|", "\\|")).join(" | ")} |`;
  const asMarkdown = () => [bar(columns.map((each) => each.name)), bar(columns.map(() => "---")), ...shown.map((row) => bar(row.map(([, text]) => text)))].join("\n");

  return () => {
    clearTimeout(later);
    close();
  };
}

export default { render };
