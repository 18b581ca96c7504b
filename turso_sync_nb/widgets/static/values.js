// Values of a database.

import { count, h } from "./elements.js";

export const NULL_TEXT = "NULL";

/** What a value looks like, and how it is spoken; `null` is NULL. */
export function shownValue(value) {
  if (value === null) return { text: NULL_TEXT, kind: "null", spoken: "NULL" };
  const [kind, text, length] = value;
  if (kind === "b") {
    const told = length ? `blob of ${count(length, "byte")}` : `x'${text}'`;
    return { text: told, kind: "blob", spoken: told };
  }
  if (kind === "t" && text === "") return { text: "''", kind: "empty", spoken: "empty text" };
  return { text: length ? `${text}…` : text, kind: kind === "t" ? "text" : "number", spoken: text };
}

/** A value in a table. */
export function valueCell(value) {
  const { text, kind } = shownValue(value);
  return h("td", { class: `tsn-${kind}` }, text);
}
