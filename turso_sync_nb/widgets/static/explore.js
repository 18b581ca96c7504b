// Explore: the tables on the left, the largest first; on the right the one that is looked at.

import { button, count, group, h, headOf, number, scrollerOf, tableOf } from "./elements.js";
import { barsOf, shareBar, size } from "./figures.js";
import { shownValue, valueCell } from "./values.js";
import { connect } from "./view.js";

const LISTED_MAX = 60;

function render({ model, el }) {
  el.classList.add("tsn-widget", "tsn-explore");
  let tables = [], shown = "";
  const { request, foot, close } = connect(model, el, "tables", { tables: list, columns, profile, first, ask });
  const summary = h("div", { class: "tsn-summary" });
  const search = h("input", { type: "search", placeholder: "find a table", "aria-label": "find a table", oninput: draw });
  const body = h("tbody");
  const more = h("div", { class: "tsn-notes" });
  const one = h("section", { class: "tsn-one", "aria-label": "table", "aria-live": "polite" });
  el.append(summary, h("div", { class: "tsn-beside" },
    h("div", { class: "tsn-list" }, search, scrollerOf("tables", tableOf(headOf(["name", "rows", "size", "here"], [1, 2]), body)), more), one), foot.element);

  const about = ({ counted }, text) => (counted ? text : `about ${text}`);

  function list(message) {
    ({ tables } = message);
    const views = tables.filter((each) => each.kind === "view").length;
    summary.textContent = [message.path, message.remote ?? "no remote", count(tables.length - views, "table"), views && count(views, "view")].filter(Boolean).join(" · ");
    draw();
    if (shown && !tables.some((each) => each.name === shown)) show("");
    else if (shown) describe(shown);
    else if (tables.length) show(tables[0].name);
  }

  function draw() {
    const wanted = search.value.toLowerCase();
    const found = tables.filter((each) => each.name.toLowerCase().includes(wanted));
    body.replaceChildren(...found.slice(0, LISTED_MAX).map((each) => h("tr", {},
      h("th", { scope: "row" }, button(each.name, () => show(each.name), null, { class: "tsn-link", "aria-pressed": String(each.name === shown) }), each.kind === "table" ? "" : h("small", {}, ` ${each.kind}`)),
      h("td", { class: "tsn-number" }, each.rows === null ? "" : about(each, number(each.rows))),
      h("td", { class: "tsn-number" }, each.total === null ? "" : about(each, size(each.total))),
      h("td", {}, each.total ? shareBar(each.here, each.total) : ""))));
    more.textContent = found.length > LISTED_MAX ? `${count(found.length - LISTED_MAX, "more table")}: find it by its name` : found.length ? "" : "no table has such a name";
  }

  // One table

  const title = h("h4"), told = h("div"), asked = h("div", { class: "tsn-asked", role: "status" });
  const rowsButton = button("First rows", () => request("first", { name: shown }));
  const fetchButton = button("Fetch", () => request("fetch", { name: shown, sure: false }), "download what is not here");
  const grid = h("tbody"), firstRows = scrollerOf("first rows"), lines = h("ul"), sql = h("pre");
  one.append(title, told, group("of this table", rowsButton, fetchButton), asked, firstRows,
    tableOf(headOf(["column", "type", ""]), grid),
    lines, h("details", {}, h("summary", {}, "SQL"), sql));
  one.hidden = true;

  function show(name) {
    if (name !== shown && foot.idle()) foot.status({ text: "", failed: false });  // it was about another table
    shown = name;
    one.hidden = !name;
    asked.replaceChildren();
    firstRows.replaceChildren();
    firstRows.hidden = true;
    draw();
    if (name) {
      describe(name);
      request("columns", { name });
    }
  }

  function describe(name) {
    const table = tables.find((each) => each.name === name);
    title.textContent = name;
    const here = table.total ? (table.here >= table.total ? "all of it here" : `${size(table.here)} of ${about(table, size(table.total))} here`) : "";
    told.textContent = [table.kind === "table" ? "" : table.kind, table.rows === null ? "" : about(table, count(table.rows, "row")), here, table.key ? `key ${table.key}` : ""].filter(Boolean).join(" · ");
    fetchButton.hidden = !table.total || table.here >= table.total;
  }

  function columns({ name, columns: found, lines: notes, sql: text }) {
    if (name !== shown) return;
    grid.replaceChildren(...found.flatMap((column) => [
      h("tr", {}, h("th", { scope: "row" }, button(column.name, () => request("profile", { name, column: column.name }), `profile ${column.name}`, { class: "tsn-link" })),
        h("td", {}, column.type || "any"), h("td", {}, [column.key && "key", column.notnull && "not null", column.made && "generated"].filter(Boolean).join(", "))),
      h("tr", { hidden: true, "data-profile": column.name }, h("td", { colspan: "3" }))]));
    lines.replaceChildren(...notes.map((each) => h("li", {}, each)));
    sql.textContent = text ?? "";
  }

  function profile({ name, column, facts, bars, ends, top, sampled }) {
    const row = [...grid.children].find((each) => each.dataset.profile === column);
    if (name !== shown || !row) return;
    asked.replaceChildren();
    row.hidden = false;
    row.firstElementChild.replaceChildren(
      ...(bars.length ? [barsOf(bars), h("div", { class: "tsn-axis tsn-ends" }, h("span", {}, ends[0]), h("span", {}, ends[1]))] : []),
      h("dl", { class: "tsn-facts" }, ...facts.flatMap(([what, value]) => [h("dt", {}, what), h("dd", {}, value)])),
      ...(top.length ? [h("div", {}, "most often: ", top.map(([value, times]) => `${value} (${number(times)})`).join(" · "))] : []),
      ...(sampled ? [h("div", {}, h("em", {}, sampled))] : []));
  }

  function first({ name, names, rows }) {
    if (name !== shown) return;
    firstRows.hidden = false;
    const isNumber = (at) => rows[0]?.[at] != null && shownValue(rows[0][at]).kind === "number";
    firstRows.replaceChildren(tableOf(headOf(names, [...names.keys()].filter(isNumber)), h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map(valueCell))))));
  }

  /** Say how much is to be downloaded, and let the user choose. */
  function ask({ what, name, column, bytes }) {
    const done = (type, content) => () => {
      asked.replaceChildren();
      request(type, { name, column, ...content });
    };
    asked.replaceChildren(`${what === "fetch" ? name : `${name}.${column}`}: ${size(bytes)} of it ${bytes === 1 ? "is" : "are"} not here. `,
      button(`Download ${size(bytes)}`, done(what, { sure: true })), " ", ...(what === "profile" ? [button("A sample", done(what, { sample: true })), " "] : []), button("Not now", () => asked.replaceChildren()));
  }

  return close;
}

export default { render };
