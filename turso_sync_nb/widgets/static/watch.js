// Watch: the rows of a query; those that were not there the last time are marked.

import { count, h, number, scrollerOf, tableOf } from "./elements.js";
import { remoteLine } from "./remote.js";
import { shownValue, valueCell } from "./values.js";
import { connect } from "./view.js";

function render({ model, el }) {
  el.classList.add("tsn-widget", "tsn-watch");
  let before = null;
  const { send, request, foot, close } = connect(model, el, "found", { found, stale: () => send("ask"), remote: (message) => news.remote(message) });
  const news = remoteLine(request, true);
  const caption = h("caption"), head = h("tr"), body = h("tbody"), summary = h("div", { class: "tsn-summary", role: "status" });
  const table = tableOf(head, body);
  table.prepend(caption);
  el.append(scrollerOf("rows of a watched query", table), summary, news.element, foot.element);
  send("ask");

  function found({ title, names, rows, more }) {
    caption.textContent = title;
    head.replaceChildren(h("td"), ...names.map((name, at) => h("th", { scope: "col", class: isNumber(rows[0]?.[at]) ? "tsn-number" : null }, name)));
    const keys = rows.map((row) => JSON.stringify(row));
    const isNew = (key) => before !== null && !before.has(key);
    body.replaceChildren(...rows.map((row, at) => h("tr", { class: isNew(keys[at]) ? "tsn-new" : null }, h("td", {}, isNew(keys[at]) ? "new" : ""), ...row.map(valueCell))));
    const fresh = keys.filter(isNew).length;
    summary.textContent = `${count(rows.length, "row")}${more ? ", more are not shown" : ""}${fresh ? ` · ${number(fresh)} new` : ""}`;
    if (names.length) before = new Set(keys);
  }

  const isNumber = (value) => value != null && shownValue(value).kind === "number";

  return close;
}

export default { render };
