// News of the remote.

import { button, h } from "./elements.js";

const REMOTE_TEXTS = { off: "", nothing: "nothing new on the remote", news: "new data on the remote", away: "" };

/** What is new on the remote: two boxes to choose by, a line, and with `pulls` a button. */
export function remoteLine(request, pulls) {
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
