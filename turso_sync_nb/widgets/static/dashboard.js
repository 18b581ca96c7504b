// The dashboard: figures, buttons, a timeline of pages that arrived and the same as a table.

import { button, count, dim, group, h, headOf, number, tableOf } from "./elements.js";
import { ago, moment, percent, shareBar, size } from "./figures.js";
import { remoteLine } from "./remote.js";
import { connect } from "./view.js";

/** What the buttons do: a verb, its label, and what it is for. */
const VERBS = [
  ["pull", "Pull", "bring what is new from others"],
  ["push", "Push", "send what waits"],
  ["sync", "Sync", "push, then pull"],
];

/** The figures: what they are called in `db.stats()`, their label, and what is shown of them; details are folded. */
const FIGURES = [
  ["cdc_operations", "changes waiting", (now) => number(now.cdc_operations)],
  ["conflicts", "conflicts settled", (now) => number(now.conflicts)],
  ["pages_resident", "here", (now) => `${percent(now.pages_resident, now.pages_total)} of ${size(now.pages_total * PAGE_SIZE)}`],
  ["last_pull_unix_time", "last pull", (now) => ago(now.last_pull_unix_time), (now) => moment(now.last_pull_unix_time)],
  ["last_push_unix_time", "last push", (now) => ago(now.last_push_unix_time), (now) => moment(now.last_push_unix_time)],
];
const DETAILS = [
  ["on_their_way", "on the way", (now) => size(now.on_their_way * PAGE_SIZE)],
  ["pages_resident", "pages here", (now) => `${number(now.pages_resident)} of ${number(now.pages_total)}`],
  ["network_received_bytes", "downloaded", (now) => size(now.network_received_bytes)],
  ["network_sent_bytes", "uploaded", (now) => size(now.network_sent_bytes)],
  ["network_requests", "requests", (now) => number(now.network_requests)],
  ["main_wal_size", "write-ahead log", (now) => size(now.main_wal_size)],
  ["revert_wal_size", "kept so that a pull can undo", (now) => size(now.revert_wal_size)],
  ["revision", "revision", (now) => now.revision ?? "none"],
];
const PAGE_SIZE = 4096;  // bytes
const LISTED = 8;  // arrivals in the table
const AGED_MS = 20000;  // after which a text such as "2 minutes ago" is looked at
const HEIGHT = 60;  // pixels of the highest bar

function render({ model, el }) {
  el.classList.add("tsn-widget", "tsn-dashboard");
  let updates = 0;
  const { request, foot, close } = connect(model, el, "figures", { figures: show, status, remote: (message) => news.remote(message) });
  const news = remoteLine(request, false);
  const verbButton = ([verb, label, title]) => button(label, () => request("do", { verb }), title);
  const verbs = VERBS.map(verbButton), tidy = verbButton(["checkpoint", "Tidy up", "move the log into the database file (checkpoint)"]);
  const buttons = [...verbs, tidy];
  const sentence = h("div", { class: "tsn-sentence", role: "status" });
  const summary = h("div", { class: "tsn-summary" });
  const shown = [];  // [value's element, what gives its text, what gives its title]
  const list = (figures) => h("dl", { class: "tsn-figures" }, ...figures.map(([name, label, text, title = () => ""]) => {
    const value = h("dd");
    shown.push([value, text, title]);
    return h("div", {}, h("dt", { title: name }, label), value);
  }));
  const figures = list(FIGURES);
  const details = h("details", {}, h("summary", {}, "Details"), list(DETAILS), h("div", { class: "tsn-buttons" }, tidy));
  const bars = h("div", { class: "tsn-bars", role: "img", "aria-label": "downloads over time" });
  const from = h("span"), highest = h("span"), to = h("span");
  const timeline = h("div", { class: "tsn-timeline" }, highest, bars, h("div", { class: "tsn-axis" }, from, to));
  const listed = h("tbody");
  const tableRows = h("tbody");
  const byTable = tableOf(headOf(["table", "size", "here"], [1]), tableRows, "What is here, by table");
  const table = tableOf(headOf(["time", "size"], [0, 1]), listed, "Last downloads");
  el.append(sentence, summary, group("verbs", ...verbs), news.element, figures,
    h("div", { class: "tsn-beside" }, byTable, timeline, table), details, foot.element);

  let waits = 0, remoteUrl = null, now = null, said = "";

  /** Write what time changes too. */
  function write() {
    if (!now) return;
    sentence.textContent = said.replace("{ago}", ago(now.last_pull_unix_time));
    for (const [value, textOf, titleOf] of shown) Object.assign(value, { textContent: textOf(now), title: titleOf(now) });
  }
  const aging = setInterval(write, AGED_MS);

  function status(message) {
    foot.status(message);
    enliven();
  }

  /** Buttons are alive where they do something. */
  function enliven() {
    for (const each of buttons) dim(each, !foot.idle() || (each !== tidy && !remoteUrl) || (each === verbs[1] && !waits));
  }

  function show({ sentence: text, figures, on_their_way, arrivals, tables, more_tables: more, path, remote, busy }) {
    now = { ...figures, on_their_way };
    said = text;
    el.dataset.updates = ++updates;
    waits = figures.cdc_operations;
    remoteUrl = remote;
    if (busy !== undefined) status({ busy });
    enliven();
    summary.textContent = `${path} · ${remote ?? "no remote"}`;
    write();
    byTable.hidden = !tables.length;
    tableRows.replaceChildren(...tables.map(([name, here, total]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "tsn-number" }, total ? size(total) : "not known"), h("td", {}, total ? shareBar(here, total) : ""))));
    if (more) tableRows.append(h("tr", {}, h("td", { colspan: 3 }, `${count(more, "more table")}: %turso_sync tables lists them`)));
    const most = Math.max(...arrivals.map(([, pages]) => pages), 0);
    bars.hidden = table.hidden = !arrivals.length;
    timeline.style.setProperty("--tsn-arrivals", arrivals.length);
    highest.textContent = arrivals.length ? `Downloads, at most ${size(most * PAGE_SIZE)} at a time` : "Nothing downloaded since this was opened";
    from.textContent = arrivals.length ? moment(arrivals[0][0]) : "";
    to.textContent = arrivals.length > 1 ? moment(arrivals.at(-1)[0]) : "";
    const told = ([at, , bytes]) => [moment(at), size(bytes)];
    bars.replaceChildren(...arrivals.map((each) => h("span", { style: `height: ${Math.max((HEIGHT * each[1]) / most, 2)}px`, title: told(each).join(" · ") })));
    const bytes = arrivals.reduce((sum, each) => sum + each[2], 0);
    bars.setAttribute("aria-label", `${size(bytes)} downloaded at ${count(arrivals.length, "time")}`);
    listed.replaceChildren(...arrivals.slice(-LISTED).reverse().map((each) => h("tr", {}, ...told(each).map((text) => h("td", { class: "tsn-number" }, text)))));
  }

  return () => {
    clearInterval(aging);
    close();
  };
}

export default { render };
