// The dashboard: figures, buttons, a timeline of pages that arrived and the same as a table.

const VERBS = ["pull", "push", "sync", "checkpoint"];
const number = (value) => value.toLocaleString("en");

/** The figures: what they are called in `db.stats()`, their label, and what is shown of them. */
const FIGURES = [
  ["cdc_operations", "changes to push", (now) => number(now.cdc_operations)],
  ["conflicts", "conflicts", (now) => number(now.conflicts)],
  ["pages_resident", "pages here", (now) => `${number(now.pages_resident)} of ${number(now.pages_total)}${share(now)}`],
  ["on_their_way", "pages on their way", (now) => number(now.on_their_way)],
  ["network_received_bytes", "received", (now) => size(now.network_received_bytes)],
  ["network_sent_bytes", "sent", (now) => size(now.network_sent_bytes)],
  ["network_requests", "requests", (now) => number(now.network_requests)],
  ["main_wal_size", "write-ahead log", (now) => size(now.main_wal_size)],
  ["revert_wal_size", "kept to undo", (now) => size(now.revert_wal_size)],
  ["last_pull_unix_time", "last pull", (now) => moment(now.last_pull_unix_time)],
  ["last_push_unix_time", "last push", (now) => moment(now.last_push_unix_time)],
  ["revision", "revision", (now) => now.revision ?? "none"],
];
const LISTED = 8;  // arrivals in the table
const HEIGHT = 60;  // pixels of the highest bar

const share = ({ pages_resident: here, pages_total: all }) => (all ? ` (${((100 * here) / all).toFixed(1)}\u00a0%)` : "");

/** The time of day, and the day if it is not today. */
function moment(unixTime) {
  if (unixTime === null) return "never";
  const at = new Date(unixTime * 1000);
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.toLocaleDateString("sv")} `;
  return day + at.toLocaleTimeString("en-GB");
}

function render({ model, el }) {
  el.classList.add("tsn-widget", "tsn-dashboard");
  let updates = 0;
  const { wish, foot, close } = connect(model, { figures: show, said, remote: (message) => news.remote(message) });
  const news = remoteLine(wish, false);
  const buttons = VERBS.map((verb) => h("button", { type: "button", onclick: () => wish("do", { verb }) }, verb[0].toUpperCase() + verb.slice(1)));
  const summary = h("div", { class: "tsn-summary" });
  const values = FIGURES.map(() => h("dd"));
  const figures = h("dl", { class: "tsn-figures" }, ...FIGURES.map(([name, label], at) => h("div", {}, h("dt", { title: name }, label), values[at])));
  const bars = h("div", { class: "tsn-bars", role: "img", "aria-label": "pages that arrived, over time" });
  const from = h("span"), highest = h("span"), to = h("span");
  const timeline = h("div", { class: "tsn-timeline" }, highest, bars, h("div", { class: "tsn-axis" }, from, to));
  const listed = h("tbody");
  const table = h("table", {}, h("caption", {}, "Pages that arrived last"),
    h("thead", {}, h("tr", {}, ...["time", "pages", "received"].map((name) => h("th", { scope: "col", class: "tsn-number" }, name)))), listed);
  el.append(summary, h("div", { class: "tsn-buttons", role: "group", "aria-label": "verbs" }, ...buttons), news.element, figures,
    h("div", { class: "tsn-beside" }, timeline, table), foot.element);

  function said(message) {
    foot.said(message);
    for (const button of buttons) dim(button, message.busy);
  }

  function show({ figures, on_their_way, arrivals, path, remote, busy }) {
    const now = { ...figures, on_their_way };
    el.classList.add(LIVE);
    el.dataset.updates = ++updates;
    if (busy !== undefined) said({ busy });
    summary.textContent = `${path} · ${remote ?? "no remote"}`;
    FIGURES.forEach(([, , shown], at) => (values[at].textContent = shown(now)));
    const most = Math.max(...arrivals.map(([, pages]) => pages), 0);
    bars.hidden = table.hidden = !arrivals.length;
    timeline.style.setProperty("--tsn-arrivals", arrivals.length);
    highest.textContent = arrivals.length ? `Pages that arrived, at most ${count(most, "page")} at a time` : "No pages arrived yet";
    from.textContent = arrivals.length ? moment(arrivals[0][0]) : "";
    to.textContent = arrivals.length > 1 ? moment(arrivals.at(-1)[0]) : "";
    const told = ([at, pages, bytes]) => [moment(at), pages.toLocaleString("en"), size(bytes)];
    bars.replaceChildren(...arrivals.map((each) => h("span", { style: `height: ${Math.max((HEIGHT * each[1]) / most, 2)}px`, title: told(each).join(" · ") })));
    const pages = arrivals.reduce((sum, each) => sum + each[1], 0);
    bars.setAttribute("aria-label", `${count(pages, "page")} arrived at ${count(arrivals.length, "time")}`);
    listed.replaceChildren(...arrivals.slice(-LISTED).reverse().map((each) => h("tr", {}, ...told(each).map((text) => h("td", { class: "tsn-number" }, text)))));
  }

  return close;
}

export default { render };
