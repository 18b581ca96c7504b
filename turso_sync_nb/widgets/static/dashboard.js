// The dashboard: figures, buttons, a timeline of pages that arrived and the same as a table.

const VERBS = ["pull", "push", "sync", "checkpoint"];
const FIGURES = {
  cdc_operations: ["changes to push", (value) => value.toLocaleString("en")],
  pages_resident: ["pages here", (value) => value.toLocaleString("en")],
  pages_total: ["pages in all", (value) => value.toLocaleString("en")],
  network_received_bytes: ["received", size],
  network_sent_bytes: ["sent", size],
  network_requests: ["requests", (value) => value.toLocaleString("en")],
  main_wal_size: ["log", size],
  revert_wal_size: ["kept to undo", size],
  last_pull_unix_time: ["last pull", moment],
  last_push_unix_time: ["last push", moment],
  revision: ["revision", (value) => value ?? "none"],
};
const LISTED = 8;  // arrivals in the table
const HEIGHT = 60;  // pixels of the highest bar

function moment(unixTime) {
  return unixTime === null ? "never" : new Date(unixTime * 1000).toLocaleTimeString("en-GB");
}

function render({ model, el }) {
  el.classList.add("tsn-widget", "tsn-dashboard");
  let updates = 0;
  const { wish, foot, close } = connect(model, { figures: show, said, remote: (message) => news.remote(message) });
  const news = remoteLine(wish, false);
  const buttons = VERBS.map((verb) => h("button", { type: "button", onclick: () => wish("do", { verb }) }, verb[0].toUpperCase() + verb.slice(1)));
  const summary = h("div", { class: "tsn-summary" });
  const values = Object.fromEntries(Object.keys(FIGURES).map((name) => [name, h("dd")]));
  const figures = h("dl", { class: "tsn-figures" }, ...Object.entries(FIGURES).map(([name, [label]]) => h("div", {}, h("dt", { title: name }, label), values[name])));
  const bars = h("div", { class: "tsn-bars", role: "img", "aria-label": "pages that arrived, over time" });
  const listed = h("tbody");
  const table = h("table", {}, h("caption", {}, "Pages that arrived last"),
    h("thead", {}, h("tr", {}, ...["time", "pages", "bytes"].map((name) => h("th", { scope: "col" }, name)))), listed);
  el.append(summary, h("div", { class: "tsn-buttons", role: "group", "aria-label": "verbs" }, ...buttons), news.element, figures, bars, table, foot.element);

  function said(message) {
    foot.said(message);
    for (const button of buttons) button.disabled = Boolean(message.busy);
  }

  function show({ figures: now, arrivals, page_size: pageSize, path, remote, busy }) {
    el.dataset.updates = ++updates;
    if (busy !== undefined) said({ busy });
    summary.textContent = `${path} · ${remote ?? "no remote"}`;
    for (const [name, [, shown]] of Object.entries(FIGURES)) values[name].textContent = shown(now[name]);
    const most = Math.max(...arrivals.map(([, pages]) => pages), 1);
    const told = ([at, pages]) => [moment(at), pages.toLocaleString("en"), size(pages * pageSize)];
    bars.replaceChildren(...arrivals.map((each) => h("span", { style: `height: ${Math.max((HEIGHT * each[1]) / most, 2)}px`, title: told(each).join(" · ") })));
    const pages = arrivals.reduce((sum, each) => sum + each[1], 0);
    bars.setAttribute("aria-label", `${count(pages, "page")} arrived at ${count(arrivals.length, "time")}`);
    listed.replaceChildren(...arrivals.slice(-LISTED).reverse().map((each) => h("tr", {}, ...told(each).map((text) => h("td", { class: "tsn-number" }, text)))));
  }

  return close;
}

export default { render };
