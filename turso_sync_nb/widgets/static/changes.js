// Changes of rows.

import { h } from "./elements.js";

export const OPERATIONS = { insert: "added", update: "changed", delete: "removed", "": "" };

/** A changed column: the old value struck out, the new one underlined: lines say it without colour. */
export function changeLine([name, was, now], operation) {
  return h("li", {}, `${name} `,
    ...(operation === "insert" ? [] : [h("del", {}, was)]), operation === "update" ? " → " : "", ...(operation === "delete" ? [] : [h("ins", {}, now)]));
}
