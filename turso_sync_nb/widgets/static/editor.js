// The editor: a grid of at most ROWS_MAX rows, read as it is scrolled. What is staged is kept in the kernel.

import { cellInput } from "./cell_input.js";
import { changeLine, OPERATIONS } from "./changes.js";
import { gridColumns } from "./columns.js";
import { button, count, dim, focusedBeside, group, h, number } from "./elements.js";
import { markSort, turnSort } from "./sorting.js";
import { fromTsv, toTsv } from "./tsv.js";
import { NULL_TEXT, shownValue } from "./values.js";
import { connect } from "./view.js";

const ROWS_MAX = 60;
const ARRANGE_AFTER_MS = 300;
const FILTERS = "> 5, <= 5, = x, != x, part of a text, null, not null";
const LONG = 40;  // characters that may not fit a cell: all of them on hover
const NEAR = 120;  // pixels from an end at which the next page is asked for

const isNumeric = ({ kind }) => kind === "number";

/** What a value of a column looks like: a truth is a box, ticked or not. */
function shownIn(column, value) {
  const isTruth = column.kind === "boolean" && value?.[0] === "i" && ["0", "1"].includes(value[1]);
  if (isTruth) return value[1] === "1" ? { text: "☑", kind: "truth", spoken: "true" } : { text: "☐", kind: "truth", spoken: "false" };
  return shownValue(value);
}

function render({ model, el }) {
  el.classList.add("tsn-widget", "tsn-editor");
  let columns = [], readonly = "", paging = "", inAll = "", rows = [], staged = {}, undoable = false, atFirst = true, atLast = false, lastKey = [];
  let asked = "", isStale = false;  // the request for rows that is not answered yet; whether rows have changed since
  const outdated = new Set();  // requests that another has followed
  let scrolledTo = 0;  // what is out of sight, and so out of the page, forgets where it was scrolled to
  let at = { id: null, row: 0, column: 0 };  // the cell that has the focus, found again by its row's id
  let anchor = null;  // where a range of cells begins that ends there: a row's id and a column
  let adding = false;
  let input = null, later = [];  // while a cell is typed into, nothing is drawn: messages wait
  const waiting = (handle) => (message) => (input ? later.push(() => handle(message)) : handle(message));

  const { send: tell, request: send, foot, close } = connect(model, el, "table", { table: begin, rows: waiting(take), staged: waiting(restage), stale: waiting((message) => {
    inAll = message.in_all;
    reload();
  }), choices, status, conflict: () => offer(true), preview: showPreview });
  const summary = h("div", { class: "tsn-summary" });
  const buttons = {
    add: button("Add row", () => ((adding = true), send("add")), "a new row, at the end"),
    remove: button("Delete row", () => current() && send("delete", { rows: [current().id] }), "or take it up again (Ctrl+Delete)"),
    nothing: button(NULL_TEXT, () => setHere(null), "set the cell to NULL (Delete)"),
    undo: button("Undo", () => send("undo"), "Ctrl+Z"),
    discard: button("Discard", () => send("discard"), "give up what is staged"),
    preview: button("Preview", () => send("preview"), "what Apply would write"),
    apply: button("Apply", () => send("apply"), "as one transaction"),
    applyAndPush: button("Apply and push", () => send("apply", { push: true }), "as one transaction, then send what waits"),
  };
  const previewed = h("div", { class: "tsn-preview", role: "status" });
  const over = button("Overwrite", () => send("apply", { on_changed: "overwrite" }), "write over what was changed underneath");
  const skip = button("Keep theirs", () => send("apply", { on_changed: "skip" }), "leave out rows that were changed underneath");
  // Finding: by SQL over all rows, in the kernel
  const choice = { filters: {}, search: "", sort: null, descending: false };
  let arranging, toTop = false;
  const arrange = () => {
    clearTimeout(arranging);
    lastKey = [];
    toTop = true;
    want("arrange", choice);
  };
  const soon = (change) => (event) => {
    change(event.target.value);
    clearTimeout(arranging);
    arranging = setTimeout(arrange, ARRANGE_AFTER_MS);
  };
  const search = h("input", { type: "search", placeholder: "find in all columns", "aria-label": "find in all columns", oninput: soon((text) => (choice.search = text)) });
  const goTo = h("input", { placeholder: "go to key", "aria-label": "go to key", onkeydown: (event) => event.key === "Enter" && goTo.value && want("go", { key: goTo.value }) });
  const filtersOn = button("Filter", () => {
    filters.hidden = !filters.hidden;
    filtersOn.setAttribute("aria-pressed", String(!filters.hidden));
  }, "a row of filters under the names");
  const filters = h("div", { role: "row", class: "tsn-filters", hidden: true });
  const finding = group("find", search, goTo, filtersOn);
  finding.classList.add("tsn-finding");
  const bar = group("edit", ...Object.values(buttons), over, skip);
  const head = h("div", { role: "row", class: "tsn-head", "aria-rowindex": "1" });
  const body = h("div", { role: "rowgroup" });
  const grid = h("div", { role: "grid", class: "tsn-grid", "aria-rowcount": "-1", "aria-multiselectable": "true" }, h("div", { role: "rowgroup" }, head, filters), body);
  const where = h("div", { class: "tsn-where" });
  const scroller = h("div", { class: "tsn-scroller", onscroll: scrolled }, grid);
  const widths = gridColumns(grid, scroller, head);
  head.addEventListener("keydown", pressedOnName);
  grid.addEventListener("keydown", pressed);
  grid.addEventListener("paste", pasted);
  grid.addEventListener("copy", copied);
  el.append(summary, finding, bar, foot.element, previewed, scroller, where);
  offer(false);

  function offer(conflict) {
    over.hidden = skip.hidden = !conflict;
  }

  function status(message) {
    foot.status(message);
    for (const each of [buttons.apply, buttons.applyAndPush]) dim(each, message.busy || readonly || !Object.keys(staged).length);
    if (message.failed) {
      expect("");  // without an answer
      toError();
    }
    if (message.busy) offer(false);
  }

  // Rows

  function begin(message) {
    ({ columns, readonly, staged, undoable } = message);
    inAll = message.in_all;
    paging = message.by_number ? " · a far page is slow: all before it is read" : "";
    grid.setAttribute("aria-label", `rows of ${message.name}`);
    grid.setAttribute("aria-readonly", readonly ? "true" : "false");
    widths.begin(columns);
    head.replaceChildren(...columns.map((column, place) => h("div", { role: "columnheader", class: `${isNumeric(column) ? "tsn-number" : ""} ${widths.isFrozen(place) ? "tsn-frozen" : ""}`, style: widths.styleOf(place), title: [column.type, column.key && "key", column.readonly].filter(Boolean).join(" · ") },
      button(column.name, () => sortBy(column.name), `sort by ${column.name}; Shift and arrows: its width`, { class: "tsn-sort", tabindex: "-1" }), widths.grip(place))));
    filters.replaceChildren(...columns.map((column, place) => h("div", { role: "gridcell", class: widths.isFrozen(place) ? "tsn-frozen" : null, style: widths.styleOf(place) }, h("input", { "aria-label": `filter ${column.name}`, placeholder: "> 5, = x", title: FILTERS, oninput: soon((text) => (choice.filters[column.name] = text)) }))));
    goTo.placeholder = `go to ${message.key.join(", ")}`;
    goTo.hidden = !message.key.length;
    where.dataset.where = message.where;
    buttons.applyAndPush.hidden = !message.has_remote;
    for (const each of Object.values(buttons)) dim(each, readonly);
    summary.dataset.name = message.name;
    take(message);
  }

  function sortBy(name) {
    turnSort(choice, name, heads());
    arrange();
  }

  const heads = () => [...head.children].map((cell, place) => [columns[place].name, cell]);

  /** Show the whole table again, in its own order. */
  function plainly() {
    Object.assign(choice, { filters: {}, search: "", sort: null, descending: false });
    search.value = "";
    for (const input of filters.querySelectorAll("input")) input.value = "";
    markSort(choice, heads());
  }

  function take({ direction, rows: found, end, start, plain, asked: by }) {
    if (outdated.delete(by)) return;
    if (!by || by === asked) expect("");
    if (plain) plainly();
    const taken = found.map(([id, cells]) => ({ id, cells }));
    const top = scroller.scrollTop;
    if (direction === "after") {
      rows = [...rows, ...taken];
      atLast = end;
      const dropped = rows.length - ROWS_MAX;
      if (dropped > 0) {
        const gone = heightOf(dropped);
        rows = rows.slice(dropped);
        atFirst = false;
        draw();
        scroller.scrollTop = top - gone;
      } else draw();
    } else if (direction === "before") {
      rows = [...taken, ...rows].slice(0, ROWS_MAX);
      atFirst = end;
      atLast = false;
      draw();
      scroller.scrollTop = top + heightOf(taken.length);
    } else {
      rows = taken;
      atFirst = start ?? (direction === "from" ? !lastKey.length : end);
      if (plain || toTop) scroller.scrollTop = 0;
      toTop = false;
      atLast = direction === "last" || end;
      lastKey = [];
      draw();
      if (direction === "last") scroller.scrollTop = scroller.scrollHeight;
    }
    if (isStale && !asked) reload();
  }

  /** The height of the first rows; rows themselves have no box, their cells do. */
  function heightOf(first) {
    return [...body.children].slice(0, first).reduce((sum, row) => sum + row.firstElementChild.offsetHeight, 0);
  }

  function ask(direction, anchor) {
    if (!asked) want("page", anchor === undefined ? { direction } : { direction, anchor });
  }

  function expect(request) {
    asked = request;
    grid.setAttribute("aria-busy", String(Boolean(request)));
  }

  /** Ask for rows: answers to what was asked for before come too late. */
  function want(type, content) {
    if (asked) outdated.add(asked);
    expect(Math.random().toString(36).slice(2));
    send(type, { ...content, asked });
  }

  /** Put errors beside their cells, where the grid is in sight: none is cut at its edge. */
  function placeErrors() {
    const errors = body.querySelectorAll(".tsn-error");
    if (!errors.length) return;  // nothing to measure
    const sight = scroller.getBoundingClientRect(), width = scroller.clientWidth, top = sight.top + head.firstElementChild?.offsetHeight;
    for (const error of errors) {
      error.style.maxWidth = `${Math.min(320, width - 24)}px`;
      const cell = error.parentElement.getBoundingClientRect(), own = error.getBoundingClientRect();
      error.style.left = `${Math.max(sight.left + 2, Math.min(cell.left, sight.left + width - own.width - 2)) - cell.left - error.parentElement.clientLeft}px`;
      const isLow = cell.bottom + own.height > sight.top + scroller.clientHeight && cell.top - own.height > top;
      Object.assign(error.style, isLow ? { top: "auto", bottom: "100%" } : { top: "100%", bottom: "auto" });
    }
  }

  function scrolled() {
    scrolledTo = scroller.scrollTop;
    placeErrors();
    if (staged[at.id]?.operation === "insert" && grid.contains(focusedBeside(grid))) return;  // it stays in sight
    if (scroller.scrollTop + scroller.clientHeight > scroller.scrollHeight - NEAR && !atLast && rows.length) ask("after", rows.at(-1).id);
    else if (scroller.scrollTop < NEAR && !atFirst && rows.length) ask("before", rows[0].id);
  }

  function reload() {
    isStale = Boolean(asked);  // then again, after the answer
    if (isStale) return;
    lastKey = atFirst || !rows.length ? [] : [rows[0].id];
    ask("from", lastKey[0]);
  }

  /** A row as it was applied: seen until it is read anew, so that no old value shows between. */
  function written(row) {
    const values = staged[row.id]?.new ?? {};
    return { ...row, cells: columns.map((column, place) => (column.name in values ? values[column.name] : row.cells[place])) };
  }

  function restage(message) {
    const before = Object.keys(staged);
    if (message.applied) rows = rows.filter((row) => staged[row.id]?.operation !== "delete").map(written);
    ({ staged, undoable } = message);
    previewed.replaceChildren();
    draw();
    const added = Object.keys(staged).filter((id) => staged[id].operation === "insert" && !before.includes(id));
    if (adding && added.length === 1) {
      const row = listed().findIndex((each) => each.id === added[0]);
      scroller.scrollTop = scroller.scrollHeight;
      go(row, Math.max(columns.findIndex((column) => !column.readonly && !(column.key && /INT/i.test(column.type))), 0));
    }
    adding = false;
  }

  /** Go to the first cell that cannot be written. */
  function toError() {
    for (const [index, row] of listed().entries()) {
      const errors = staged[row.id]?.errors ?? {};
      const place = columns.findIndex((column) => column.name in errors);
      if (place >= 0) return go(index, place);
    }
  }

  function showPreview({ changes, in_all: all }) {
    previewed.replaceChildren(...changes.map(({ operation, key, columns: values, errors }) => h("div", {}, `${key} ${OPERATIONS[operation]}`.trim(),
      h("ul", {}, ...values.map((each) => changeLine(each, operation)), ...errors.map((each) => h("li", { class: "tsn-failed" }, `cannot be written: ${each}`))))),
      all > changes.length ? `${count(all - changes.length, "more row")}` : "");
    if (!changes.length) previewed.textContent = "nothing is staged";
  }

  /** The rows in view: those of the table, and at its end those to be added. */
  function listed() {
    const added = Object.keys(staged).filter((id) => staged[id].operation === "insert").map((id) => ({ id, cells: columns.map(() => undefined) }));
    return [...rows.slice(0, ROWS_MAX - Math.min(added.length, ROWS_MAX / 2)), ...added.slice(-ROWS_MAX / 2)];
  }

  const current = () => listed()[at.row];

  function draw() {
    const focused = body.contains(focusedBeside(grid));  // a filter that is typed into keeps the focus, and a name that sorts
    const unapplied = Object.keys(staged).length;
    const state = readonly || (unapplied ? `${count(unapplied, "row")} staged, not applied` : "nothing staged");
    summary.textContent = `${[summary.dataset.name, inAll, state].filter(Boolean).join(" · ")}${paging}`;
    const drawn = listed();
    body.replaceChildren(...drawn.map(drawRow));
    for (const each of [buttons.preview, buttons.apply, buttons.applyAndPush, buttons.discard]) dim(each, !unapplied);
    dim(buttons.undo, !undoable);
    if (!unapplied) offer(false);
    if (head.firstElementChild) head.firstElementChild.firstElementChild.tabIndex = drawn.length ? -1 : 0;  // without a cell, the way in
    const found = drawn.findIndex((row) => row.id === at.id);
    at.row = found < 0 ? Math.min(at.row, Math.max(drawn.length - 1, 0)) : found;
    mark(focused);
    widths.keep();
    placeErrors();
  }

  function drawRow(row, index) {
    const change = staged[row.id];
    const wrong = change?.errors[""];
    return h("div", { role: "row", class: `tsn-row ${change ? `tsn-${change.operation}` : ""} ${wrong ? "tsn-wrong" : ""}`, "aria-rowindex": index + 2, title: wrong ?? null },
      ...columns.map((column, place) => drawCell(row, index, column, place, change)));
  }

  /** Why a cell cannot be edited here; empty if it can. */
  function fixed(row, column, value) {
    if (readonly || column.readonly) return readonly || column.readonly;
    if (staged[row.id]?.operation === "delete") return "the row is to be deleted";
    if (!Array.isArray(value)) return "";
    const [kind, text, length] = value;
    if (kind === "b") return "a blob: UPDATE writes it";
    if (!length) return "";
    return `${length > [...text].length ? `a text of ${count(length, "character")}` : "text that is not Unicode"}: UPDATE writes it`;
  }

  function drawCell(row, index, column, place, change) {
    const isStaged = change && column.name in change.new;
    const error = change?.errors[column.name], reason = fixed(row, column, row.cells[place]);
    const value = isStaged ? change.new[column.name] : row.cells[place];
    const shown = value === undefined ? { text: "", kind: "unset", spoken: "its default" } : typeof value === "string" ? { text: value, kind: "text", spoken: value } : shownIn(column, value);
    const cell = h("div", {
      role: "gridcell", tabindex: "-1", style: widths.styleOf(place), class: `tsn-cell ${widths.isFrozen(place) ? "tsn-frozen" : ""} tsn-${shown.kind} ${isNumeric(column) ? "tsn-number" : ""} ${isStaged ? "tsn-staged" : ""}`,
      "aria-label": [`${column.name}: ${shown.spoken}`, error, isStaged && "staged", change?.operation === "delete" && "to be deleted", !readonly && reason && `not edited here: ${reason}`].filter(Boolean).join(", "),
      "aria-readonly": reason ? "true" : null, "aria-invalid": error ? "true" : null,
      title: error ?? (reason || (shown.text.length > LONG ? shown.text : null)), onmousedown: (event) => event.shiftKey && event.preventDefault(),
      onclick: (event) => go(index, place, event.shiftKey), ondblclick: () => edit(),
    }, shown.text);
    if (error) cell.append(" ", h("span", { class: "tsn-error" }, error));
    return cell;
  }

  // Going about

  const cellAt = () => body.children[at.row]?.children[at.column];

  function mark(focus) {
    const cell = cellAt(), column = columns[at.column];
    where.textContent = cell ? [column.name, column.type, column.key && "key", !readonly && reasonNot()].filter(Boolean).join(" · ") : "";
    if (!cell) return;
    for (const each of body.querySelectorAll('[tabindex="0"]')) each.tabIndex = -1;
    for (const each of body.querySelectorAll("[aria-selected]")) each.removeAttribute("aria-selected");
    if (anchor) for (const row of range()) for (const each of row) each.setAttribute("aria-selected", "true");
    cell.tabIndex = 0;
    if (focus) {
      cell.focus({ preventScroll: true });
      cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  /** The cells from where a range begins to the one that has the focus; that one alone without a range. */
  function range() {
    const from = anchor ? listed().findIndex((row) => row.id === anchor.id) : -1;
    const [row, column] = from < 0 ? [at.row, at.column] : [from, anchor.column];
    const part = (children, one, other) => [...children].slice(Math.min(one, other), Math.max(one, other) + 1);
    return part(body.children, row, at.row).map((each) => part(each.children, column, at.column));
  }

  /** Go to a cell; `isRange`: the cells from the last one on are a range. */
  function go(row, column, isRange = false) {
    if (input) return;
    anchor = isRange ? (anchor ?? { id: at.id, column: at.column }) : null;
    const last = listed().length - 1;
    at = { row: Math.max(0, Math.min(row, last)), column: Math.max(0, Math.min(column, columns.length - 1)) };
    at.id = current()?.id;
    mark(true);
  }

  function pressed(event) {
    if (input || !event.target.closest("[role=gridcell]") || event.target.closest("input")) return;
    const { row, column } = at, command = event.ctrlKey || event.metaKey;
    const moves = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], Home: [row, 0], End: [row, columns.length - 1], PageUp: [row - 10, column], PageDown: [row + 10, column] };
    if (event.key === "ArrowUp" && row === 0 && atFirst && !command && !event.shiftKey) toName(column);
    else if (command && event.key === "Home") ask("from");
    else if (command && event.key === "End") ask("last");
    else if (command && event.key.toLowerCase() === "z") send("undo");
    else if (command && event.key === "Delete") buttons.remove.click();
    else if (event.key in moves && !command) go(...moves[event.key], event.shiftKey);
    else if (event.key === "Enter" || event.key === "F2") edit();
    else if (event.key === "Delete") setHere(null);
    else if (event.key.length === 1 && !command && !event.altKey) edit(event.key);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** The names are above the first row: arrows go there, Enter sorts. Tab leads past them, to the cell that had the focus. */
  function pressedOnName(event) {
    const place = [...head.children].indexOf(event.target.closest("[role=columnheader]"));
    const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: columns.length - 1 }[event.key];
    if (event.shiftKey && ["ArrowLeft", "ArrowRight"].includes(event.key)) widths.step(place, event.key === "ArrowLeft" ? -1 : 1);
    else if (event.key === "ArrowDown") go(0, place);
    else if (to === undefined) return;
    else toName(to);
    event.preventDefault();
    event.stopPropagation();
  }

  function toName(place) {
    head.children[Math.max(0, Math.min(place, columns.length - 1))].firstElementChild.focus();
  }

  // Editing

  function reasonNot() {
    const row = current(), column = columns[at.column];
    return row && column ? fixed(row, column, row.cells[at.column]) : readonly;
  }

  function setHere(text) {
    const reason = reasonNot();
    if (reason) status({ text: reason, failed: true });
    else if (current()) send("set", { cells: [[current().id, columns[at.column].name, text]] });
  }

  function edit(begun) {
    const reason = reasonNot(), cell = cellAt(), row = current();
    if (reason || !cell) return status({ text: reason, failed: true });
    const column = columns[at.column], { name } = column;
    const value = staged[row.id]?.new[name] ?? row.cells[at.column];
    const isNull = value == null;
    const old = isNull ? "" : typeof value === "string" ? value : value[1];
    const truth = { 1: "1", t: "1", y: "1", 0: "0", f: "0", n: "0" };
    if (column.kind === "boolean" && (isNull || ["0", "1"].includes(old)) && (begun === undefined || begun === " " || begun.toLowerCase() in truth))
      return send("set", { cells: [[row.id, name, truth[begun?.toLowerCase()] ?? (old === "1" ? "0" : "1")]] });
    tell("typing", { on: true });
    const { element, beside, text: written } = cellInput(column, old, isNull, begun);
    input = element;
    let touched = begun !== undefined;
    element.addEventListener("input", () => (touched = true));
    if (beside[0]?.tagName === "DATALIST") tell("choices", { column: name });
    const end = (keep, [down, right] = [0, 0]) => {
      const text = written();
      input = null;
      tell("typing", { on: false });
      if (keep && touched && text !== (isNull ? null : old)) send("set", { cells: [[row.id, name, text]] });
      for (const handle of later.splice(0)) handle();
      draw();
      go(at.row + down, at.column + right);
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      const ends = { Enter: [1, 0], Tab: [0, event.shiftKey ? -1 : 1] };
      if (event.key === "Escape") end(false);
      else if (event.key in ends) end(true, ends[event.key]);
      else return;
      event.preventDefault();
    });
    for (const each of [element, ...beside]) each.addEventListener("blur", ({ relatedTarget: to }) => input && ![element, ...beside].includes(to) && end(true));
    cell.classList.add("tsn-edited");
    cell.replaceChildren(input, ...beside);
    input.focus();
  }

  /** Offer values of the table that the column refers to. */
  function choices({ column, values }) {
    const list = input?.list;
    if (list && columns[at.column].name === column) list.replaceChildren(...values.filter(Boolean).map(([, text]) => h("option", { value: text })));
  }

  /** A range of cells, or the one that has the focus, as spreadsheets take it. Values that are only here in part are told. */
  function copied(event) {
    if (input || event.target.closest("input") || !current() || !getSelection().isCollapsed) return;
    let inPart = 0;
    const texts = range().map((row) => row.map((cell) => {
      const [index, place] = [[...body.children].indexOf(cell.parentElement), [...cell.parentElement.children].indexOf(cell)];
      const row = listed()[index], value = staged[row.id]?.new[columns[place].name] ?? row.cells[place];
      if (Array.isArray(value) && (value[2] || value[0] === "b")) inPart += 1;
      return typeof value === "string" ? value : value == null ? NULL_TEXT : value[0] === "b" ? shownValue(value).text : value[1];
    }));
    event.clipboardData.setData("text/plain", toTsv(texts));
    event.preventDefault();
    event.stopPropagation();
    foot.status({ text: `copied ${count(texts.flat().length, "cell")}${inPart ? `, ${number(inPart)} of them only in part: a query has the whole` : ""}`, failed: false });
  }

  /** Tab-separated lines, as spreadsheets give them, go into the cells from here on; what is over becomes new rows. */
  function pasted(event) {
    if (input || event.target.closest("input")) return;
    event.preventDefault();
    event.stopPropagation();
    const lines = fromTsv(event.clipboardData.getData("text/plain"));
    const targets = listed().slice(at.row).map((row) => row.id);
    const cells = lines.flatMap((texts, line) => texts.map((text, place) => [targets[line] ?? `+${line}`, columns[at.column + place]?.name, text === NULL_TEXT ? null : text]));
    send("set", { cells: cells.filter(([, name]) => name && !columns.find((column) => column.name === name).readonly) });
  }

  const seen = new ResizeObserver(() => {
    if (!scroller.clientHeight) return;
    scroller.scrollTop = scrolledTo;
    placeErrors();
  });
  seen.observe(scroller);
  return () => {
    seen.disconnect();
    close();
  };
}

export default { render };
