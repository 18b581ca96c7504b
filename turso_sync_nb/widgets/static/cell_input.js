// What a cell is typed into.

import { h } from "./elements.js";
import { NULL_TEXT } from "./values.js";

/** How dates and moments are written. */
const EXAMPLES = { date: "2026-11-29", moment: "2026-11-29 13:45:00" };

/** An input for a cell: an element, what stands beside it, and its text, `null` for NULL. `begun` is a key that began it. */
export function cellInput(column, old, isNull, begun) {
  const label = { class: "tsn-input", "aria-label": `${column.name}, new value` };
  if (column.choices.length) {
    const listed = [...(isNull ? [] : [old]), ...column.choices].filter((each, at, all) => all.indexOf(each) === at);
    const typed = begun && listed.find((each) => each.toLowerCase().startsWith(begun.toLowerCase()));
    const option = (text, value) => h("option", { value, selected: value === (typed ?? (isNull ? "null" : `=${old}`)) }, text);
    const element = h("select", label, ...(column.notnull ? [] : [option(NULL_TEXT, "null")]), ...listed.map((each) => option(each || "''", `=${each}`)));
    if (typed) element.value = `=${typed}`;
    return { element, beside: [], text: () => (element.value === "null" ? null : element.value.slice(1)) };
  }
  const list = h("datalist", { id: `tsn-${Math.random().toString(36).slice(2)}` });
  const element = h("input", { ...label, inputmode: column.kind === "number" ? "decimal" : null, list: list.id, autocomplete: "off", placeholder: EXAMPLES[column.kind] ?? null });
  element.value = begun ?? old;
  const text = () => element.value;
  if (!EXAMPLES[column.kind]) return { element, beside: [list], text };
  const day = h("input", { type: "date", class: "tsn-day", tabindex: "-1", "aria-label": `${column.name}, pick a day` });
  day.value = old.slice(0, 10);
  day.addEventListener("change", () => {
    element.value = day.value + (column.kind === "moment" ? element.value.slice(10) || " 00:00:00" : "");
    element.dispatchEvent(new Event("input"));
    element.focus();
  });
  return { element, beside: [day], text };
}
