// What all widgets share; put before each widget's own module. No build step, nothing from elsewhere.

const READY_AFTER_MS = 300;
const ACK_WITHIN_MS = 700;
const OPEN_AGAIN_MS = [3000, 60000];  // from the first wait for an answer to the longest, doubled each time
const KERNEL_BUSY = "the kernel is busy with a cell and does this after it; the notebook's stop button ends the cell";
const UNANSWERED = ["status", "ack", "remote"];  // all others are updates

/** The class of a view that was told something: until then, and so for ever without a kernel, its snapshot is seen. */
const LIVE = "tsn-live";

const DISCONNECTED = { text: "disconnected: run the cell again", failed: true, busy: "" };

/**
 * Connect a view with its widget in the kernel. `handlers` are by message type, each called with the
 * message and its buffers as bytes. Updates are answered with `ready` when no more follow for a while. `request` sends
 * what a user wants: the kernel sends an `ack` at once, and until it does, the foot says that it waits. When the kernel
 * is gone, or another one in its place, the foot says so, and nothing is sent any more. A view says `open` again, later
 * and later, until an update of the type `wakes` tells it everything; an update before that says nothing to it.
 */
function connect(model, el, wakes, handlers) {
  const view = Math.random().toString(36).slice(2);
  const unacknowledged = new Set();
  let timer, opening, live = true;
  const lost = () => {
    live = false;
    clearTimeout(opening);
    unacknowledged.clear();
    queueMicrotask(() => {  // not amid `render`
      foot.waits(false);
      known.status(DISCONNECTED);
    });
  };
  const send = (type, content = {}) => {
    if (!live) return lost();
    try {
      model.send({ type, view, ...content });
    } catch {
      lost();
    }
  };
  const request = (type, content = {}) => {
    const id = `${view} ${Math.random()}`;
    unacknowledged.add(id);
    setTimeout(() => unacknowledged.has(id) && foot.waits(true), ACK_WITHIN_MS);
    send(type, { ...content, request: id });
  };
  const foot = footLine(request);
  const ready = () => send("ready");
  const known = {
    status: foot.status,
    ack({ request: id }) {
      if (unacknowledged.delete(id) && !unacknowledged.size) foot.waits(false);
    },
    ...handlers,
  };
  const receive = (message, buffers) => {
    const isUpdate = !UNANSWERED.includes(message.type);
    if (message.type === wakes) {
      el.classList.add(LIVE);
      clearTimeout(opening);
    } else if (isUpdate && !el.classList.contains(LIVE)) return;
    const bytes = buffers.map((each) => new Uint8Array(each.buffer ?? each, each.byteOffset ?? 0, each.byteLength));
    known[message.type]?.(message, bytes);
    if (!isUpdate) return;
    clearTimeout(timer);  // an answer amid updates would bring one more of them
    timer = setTimeout(ready, READY_AFTER_MS);
  };
  model.on("msg:custom", receive);
  model.on("comm_live_update", lost);
  const left = () => send("close");  // a page that goes disposes of nothing
  addEventListener("pagehide", left);
  const open = (wait) => {  // until it is answered: a view is hidden until it hears, and messages get lost
    request("open");
    opening = setTimeout(open, wait, Math.min(2 * wait, OPEN_AGAIN_MS[1]));
  };
  open(OPEN_AGAIN_MS[0]);
  return {
    send,
    request,
    foot,
    close() {
      clearTimeout(timer);
      clearTimeout(opening);
      unacknowledged.clear();
      model.off("msg:custom", receive);
      model.off("comm_live_update", lost);
      removeEventListener("pagehide", left);
      send("close");
    },
  };
}

/** Make an element: `h("button", {class: "x", onclick: f}, "text", child)`; `null` attributes are left out. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** What has the focus beside `element`: marimo shows each widget in a shadow root of its own. */
const focusedBeside = (element) => element.getRootNode().activeElement ?? null;

/** Mark a button as of no use now. It keeps the focus, and pressing it does what the kernel says to it. */
function dim(button, isDim) {
  if (isDim) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

/**
 * Call `changed` whenever the theme is another; returns how to stop. What JupyterLab, VS Code and Colab mark it
 * with may say so before the colours are there, so the style sheet also gives the background a transition, whose
 * end says it.
 */
function watchTheme(element, changed) {
  const soon = () => requestAnimationFrame(changed);
  const observer = new MutationObserver(soon);
  observer.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  observer.observe(document.documentElement, { attributeFilter: ["theme", "style", "class"] });
  const forced = matchMedia("(forced-colors: active)");
  forced.addEventListener("change", soon);
  element.addEventListener("transitionend", soon);
  return () => {
    observer.disconnect();
    forced.removeEventListener("change", soon);
  };
}

/** Say whether what lies behind `element` is dark. */
function isDark(element) {
  const [red, green, blue] = getComputedStyle(element).backgroundColor.match(/[\d.]+/g).map(Number);
  return 0.3 * red + 0.6 * green + 0.1 * blue < 128;
}

/** A button that does something now. */
const button = (label, onclick, title = null, more = {}) => h("button", { type: "button", onclick, title, ...more }, label);

/** Buttons and fields that belong together. */
const group = (name, ...children) => h("div", { class: "tsn-buttons", role: "group", "aria-label": name }, ...children);

/** What may be larger than its place, and is then scrolled. */
const scrollerOf = (name, ...children) => h("div", { class: "tsn-scroller", tabindex: "0", role: "region", "aria-label": name }, ...children);

/** A row of column names; those whose places are in `numbers` stand to the right, one without a name is of buttons. */
const headOf = (names, numbers = []) => h("tr", {}, ...names.map((name, at) => (name ? h("th", { scope: "col", class: numbers.includes(at) ? "tsn-number" : null }, name) : h("td"))));

/** A table of `body`. */
const tableOf = (head, body, caption = "") => h("table", {}, ...(caption ? [h("caption", {}, caption)] : []), h("thead", {}, head), body);

/** A value in a table. */
function valueCell(value) {
  const { text, kind } = shownValue(value);
  return h("td", { class: `tsn-${kind}` }, text);
}

const OPERATIONS = { insert: "added", update: "changed", delete: "removed", "": "" };

/** A changed column: the old value struck out, the new one marked; signs say it without colour. */
function changeLine([name, was, now], operation) {
  return h("li", {}, `${name} `,
    ...(operation === "insert" ? [] : [h("del", {}, was)]), operation === "update" ? " → " : "", ...(operation === "delete" ? [] : [h("ins", {}, now)]));
}

/** Turn from unsorted to ascending, to descending, and back; mark the head of the column. */
function turnSort(choice, column, heads) {
  if (choice.sort !== column) Object.assign(choice, { sort: column, descending: false });
  else if (!choice.descending) choice.descending = true;
  else Object.assign(choice, { sort: null, descending: false });
  markSort(choice, heads);
}

/** Mark the head of the sorted column; `heads` are by what columns are known by. */
function markSort({ sort, descending }, heads) {
  for (const [column, head] of heads) {
    if (column === sort) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

const number = (value) => value.toLocaleString("en");
const count = (many, noun) => `${number(many)} ${noun}${many === 1 ? "" : "s"}`;

/** The time of day, and the day if it is not today. */
function moment(unixTime) {
  if (unixTime === null) return "never";
  const at = new Date(unixTime * 1000);
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.toLocaleDateString("sv")} `;
  return day + at.toLocaleTimeString("en-GB");
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), 4);
  return `${(bytes / 1000 ** power).toFixed(1)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

/** The share that is here in percent: 100 only of all of it, 0 only of nothing. */
const percentOf = (here, total) => (here >= total ? 100 : Math.min(Math.max(Math.round((100 * here) / total), here ? 1 : 0), 99));

const percent = (here, total) => `${percentOf(here, total)}\u00a0%`;

/** The share as a bar with its text. */
function shareBar(here, total) {
  return h("span", { class: "tsn-share" }, h("span", { class: "tsn-track", "aria-hidden": "true" }, h("span", { class: "tsn-full", style: `width: ${percentOf(here, total)}%` })), ` ${percent(here, total)}`);
}

/** Counts as small bars. */
function barsOf(counts, label = "how often values occur, from the smallest to the largest") {
  const most = Math.max(...counts, 1);
  return h("div", { class: "tsn-bars tsn-small", role: "img", "aria-label": label, title: label }, ...counts.map((each) => h("span", { style: `height: ${each ? Math.max((20 * each) / most, 1) : 0}px` })));
}

/** The line at the foot of a widget: what is being done, what went wrong, and the button that stops it. */
function footLine(request) {
  const line = h("span", { class: "tsn-status", role: "status" });
  const waits = h("span", { class: "tsn-waits", role: "status" });
  const cancel = button("Cancel", () => request("cancel"), null, { class: "tsn-cancel", hidden: true });
  return {
    element: h("div", { class: "tsn-foot" }, line, cancel, waits),
    status({ text, failed, busy }) {
      cancel.hidden = !busy;
      if (text == null) return;
      line.textContent = text;
      line.classList.toggle("tsn-failed", Boolean(failed));
    },
    idle: () => cancel.hidden,
    waits(on) {
      waits.textContent = on ? KERNEL_BUSY : "";
    },
  };
}

const REMOTE_TEXTS = { off: "", nothing: "nothing new on the remote", news: "new data on the remote", away: "" };

/** What is new on the remote: two boxes to choose by, a line, and with `pulls` a button. */
function remoteLine(request, pulls) {
  const listensBox = h("input", { type: "checkbox", onchange: choose });
  const pullsBox = h("input", { type: "checkbox", onchange: choose });
  const line = h("span", { class: "tsn-remote-status", role: "status" });
  const pull = button("Pull", () => request("pull"), null, { hidden: true });
  function choose(event) {
    if (event.target === pullsBox && pullsBox.checked) listensBox.checked = true;
    if (!listensBox.checked) pullsBox.checked = false;
    request("listen", { listens: listensBox.checked, pulls: pullsBox.checked });
  }
  return {
    element: h("div", { class: "tsn-foot tsn-remote", role: "group", "aria-label": "news of the remote" },
      h("label", {}, listensBox, " listen to the remote"), h("label", {}, pullsBox, " pull what is new"), line, pull),
    remote({ listens, pulls: alone, kind, text }) {
      listensBox.checked = listens;
      pullsBox.checked = alone;
      line.textContent = [REMOTE_TEXTS[kind], text].filter(Boolean).join(" · ");
      pull.hidden = !pulls || kind !== "news" || alone;
    },
  };
}

const NULL_TEXT = "NULL";

/** What a value looks like, and how it is spoken; `null` is NULL. */
function shownValue(value) {
  if (value === null) return { text: NULL_TEXT, kind: "null", spoken: "NULL" };
  const [kind, text, length] = value;
  if (kind === "b") {
    const told = length ? `blob of ${count(length, "byte")}` : `x'${text}'`;
    return { text: told, kind: "blob", spoken: told };
  }
  if (kind === "t" && text === "") return { text: "''", kind: "empty", spoken: "empty text" };
  return { text: length ? `${text}…` : text, kind: kind === "t" ? "text" : "number", spoken: text };
}
