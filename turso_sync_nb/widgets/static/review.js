// Review: what clashes, waits, comes, was pushed and was settled; a part without anything is not shown.

import { changeLine, OPERATIONS } from "./changes.js";
import { breakable, button, count, dim, group, h, headOf, scrollerOf, tableOf } from "./elements.js";
import { connect } from "./view.js";

function render({ model, el }) {
  el.classList.add("tsn-widget", "tsn-review");
  const { request, foot, close } = connect(model, el, "review", { review: show, status });
  let unfolded = new Set();  // titles of parts, which stay so as they are drawn anew
  let looking = false;  // until the remote answers, or does not
  const look = () => {
    looking = true;
    request("look");
  };
  const sentence = h("div", { class: "tsn-sentence", role: "status" });
  const pull = button("Pull", () => request("pull"), "bring what comes, as shown below");
  const push = button("Push", () => request("push"), "send what waits");
  const bar = group("review", pull, push, button("Look again", look, "ask the remote"));
  const parts = h("div");
  el.append(sentence, bar, parts, foot.element);

  function status(message) {
    foot.status(message);
    if (message.failed) looking = false;
  }

  const rows = (number) => count(number, "row");

  function show(message) {
    if (message.busy !== undefined) foot.status({ busy: message.busy });
    const { clashes, coming, waiting, schema_clashes: schemaClashes } = message;
    const both = clashes.length + schemaClashes.length;
    const comes = message.coming_in_all + clashes.length + message.schema_coming.length;
    sentence.textContent = [
      message.waiting_in_all ? `${count(message.waiting_in_all, "change")} ${message.waiting_in_all === 1 ? "waits" : "wait"}` : "Nothing waits",
      message.offline ? "what comes is not known" : !message.known ? "asking the remote" : comes ? `${count(comes, message.schema_coming.length ? "change" : "row")} ${comes === 1 ? "comes" : "come"}` : "nothing new from others",
      both ? `${schemaClashes.length ? count(both, "thing") : rows(both)} changed on both sides` : "",
    ].filter(Boolean).join(" · ");
    dim(push, !message.waiting_in_all);
    dim(pull, message.known && !comes);
    const notes = [message.offline, message.refused && `A pull would be refused: ${message.refused}`, ...message.set_aside.filter(([number]) => !schemaClashes.some((each) => each.transaction === number)).map(([number, reason]) => `Transaction ${number} will not fit: ${reason}`),
      message.unplaced ? "Parts of long values come, of rows that are not here." : ""].filter(Boolean);
    unfolded = new Set(Array.from(parts.querySelectorAll("details[open]"), (each) => each.dataset.title));  // `toggle` comes too late
    parts.replaceChildren(
      ...notes.map((text) => h("p", { class: "tsn-note" }, text)),
      ...part("Changed on both sides", [...clashes.map(clash), ...schemaClashes.map(schemaClash)]),
      ...part("Waits to be pushed", waiting.map((each) => transaction(each, true)), message.transactions > waiting.length ? `${count(message.transactions - waiting.length, "more transaction")}` : ""),
      ...part("Comes with a pull", [...message.schema_coming.map((sql) => h("div", {}, h("code", {}, sql))), ...coming.map(incoming)], message.coming_in_all > coming.length ? `${rows(message.coming_in_all - coming.length)} more` : ""),
      ...part("Conflicts that were settled", message.settled.map(settled), "", true),
      ...part("Pushed from here", message.pushed.map((each) => transaction(each, false)), "", true));
    if (message.known || message.offline) looking = false;
    else if (!looking) look();
  }

  function part(title, children, more = "", folded = false) {
    if (!children.length) return [];
    const head = folded ? h("summary", {}, `${title} (${children.length})`) : h("h4", {}, title);
    const element = folded ? h("details", { class: "tsn-part", open: unfolded.has(title), "data-title": title }) : h("section", { class: "tsn-part" });
    element.append(head, ...children, more ? h("div", { class: "tsn-notes" }, more) : "");
    return [element];
  }

  function transaction({ number, age, state, reason, undone, changes, in_all: all }, waits) {
    const undo = button("Undo", () => request("undo", { transaction: number }), waits ? "take it back here; it will not be pushed" : "do the opposite, as a change that waits");
    return h("div", { class: "tsn-card" },
      h("div", { class: "tsn-card-head" }, h("strong", {}, `transaction ${number}`), ` ${age}${state ? ` · ${state}` : ""}${reason ? ` · ${reason}` : ""} `, ...(undone ? [] : [undo])),
      ...changes.map((each) => h("div", {}, each.sql ? h("code", {}, each.sql) : `${each.table} ${each.key} ${OPERATIONS[each.operation]}`,
        h("ul", {}, ...each.columns.map((column) => changeLine(column, each.operation))))),
      ...(all > changes.length ? [h("div", { class: "tsn-notes" }, `${count(all - changes.length, "more change")}`)] : []));
  }

  function incoming(row) {
    const left = row.stays === false ? [] : row.columns;
    return h("div", { class: "tsn-card" }, h("div", {}, `${row.table} ${row.key} ${OPERATIONS[row.theirs]}`, row.mine ? " · merges with yours" : ""),
      h("ul", {}, ...(row.theirs === "delete" ? row.columns.map((each) => changeLine([each.name, each.base, ""], "delete")) : left.map((each) => changeLine([each.name, each.base, each.left], row.theirs)))));
  }

  function clash(row) {
    const name = `side ${row.id}`;
    const choice = (side, label) => h("label", {}, h("input", { type: "radio", name, checked: row.side === side, onchange: () => request("keep", { row: row.id, side }) }), ` ${label}`);
    const left = row.stays === false ? "no row" : null;
    return h("div", { class: "tsn-card" },
      h("div", { class: "tsn-card-head" }, h("strong", {}, `${row.table} ${row.key}`), ` ${OPERATIONS[row.mine]} by you, ${OPERATIONS[row.theirs]} by others`),
      scrollerOf(`both sides of ${row.table} ${row.key}`, tableOf(headOf(["column", "was", "mine", "theirs", "after a pull"]),
        h("tbody", {}, ...row.columns.map((each) => h("tr", { class: each.clashes ? "tsn-clash" : null }, h("th", { scope: "row", title: each.name }, each.clashes ? `≠ ${each.name}` : each.name), h("td", {}, ...breakable(each.base)),
          h("td", {}, ...breakable(row.mine === "delete" ? "no row" : each.mine)), h("td", {}, ...breakable(row.theirs === "delete" ? "no row" : each.theirs)), h("td", {}, h("strong", {}, ...breakable(left ?? each.left)))))))),
      h("div", { class: "tsn-buttons", role: "radiogroup", "aria-label": `keep of ${row.table} ${row.key}` }, choice("mine", "Keep mine"), choice("theirs", "Keep theirs")));
  }

  function schemaClash({ transaction: number, name, base, mine, theirs, reason, can_stay: canStay, side }) {
    const line = (label, sql) => (sql ? [h("div", {}, h("em", {}, `${label}: `), h("code", {}, sql))] : []);
    const choice = (value, label, isOff) => h("label", {}, h("input", { type: "radio", name: `schema ${number}`, checked: side === value, disabled: isOff, onchange: () => request("keep_schema", { transaction: number, side: value }) }), ` ${label}`);
    return h("div", { class: "tsn-card" },
      h("div", { class: "tsn-card-head" }, h("strong", {}, name), " defined by you and by others"), h("div", {}, reason),
      ...line("was", base), ...line("mine", mine), ...line("theirs", theirs),
      h("div", { class: "tsn-buttons", role: "radiogroup", "aria-label": `keep of ${name}` }, choice("mine", "Keep mine", !canStay), choice("theirs", "Keep theirs", false)),
      canStay ? "" : h("div", { class: "tsn-notes" }, "Yours cannot take its place: theirs may hold rows. Left as it is, it waits here; make it again under another name."));
  }

  function settled({ number, table, key, kind, how, age, base, mine, theirs }) {
    const side = (name, lines) => h("div", {}, h("em", {}, `${name}: `), lines.join(", "));
    return h("div", { class: "tsn-card" },
      h("div", { class: "tsn-card-head" }, h("strong", {}, `${table} ${key}`), ` ${kind} · ${how} · ${age} `,
        button("Keep mine", () => request("settle", { number, side: "mine" }), "as a change that waits"), " ", button("Keep theirs", () => request("settle", { number, side: "theirs" }), "as a change that waits")),
      side("was", base), side("mine", mine), side("theirs", theirs));
  }

  return close;
}

export default { render };
