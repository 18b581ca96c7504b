// Elements that all widgets are made of.

/** Make an element: `h("button", {class: "x", onclick: f}, "text", child)`; `null` attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A button that does something now. */
export const button = (label, onclick, title = null, more = {}) => h("button", { type: "button", onclick, title, ...more }, label);

/** Buttons and fields that belong together. */
export const group = (name, ...children) => h("div", { class: "tsn-buttons", role: "group", "aria-label": name }, ...children);

/** Mark a button as of no use now. It keeps the focus, and pressing it does what the kernel says to it. */
export function dim(button, isDim) {
  if (isDim) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

/** What has the focus beside `element`: marimo shows each widget in a shadow root of its own. */
export const focusedBeside = (element) => element.getRootNode().activeElement ?? null;

/** What may be larger than its place, and is then scrolled. */
export const scrollerOf = (name, ...children) => h("div", { class: "tsn-scroller", tabindex: "0", role: "region", "aria-label": name }, ...children);

/** A row of column names; those whose places are in `numbers` stand to the right, one without a name is of buttons. */
export const headOf = (names, numbers = []) => h("tr", {}, ...names.map((name, at) => (name ? h("th", { scope: "col", class: numbers.includes(at) ? "tsn-number" : null }, name) : h("td"))));

/** A table of `body`. */
export const tableOf = (head, body, caption = "") => h("table", {}, ...(caption ? [h("caption", {}, caption)] : []), h("thead", {}, head), body);

/** A text whose words are not broken where it can be after a sign: `America/New_York`. */
export const breakable = (text) => text.split(/(?<=[_/.,;:@-])(?=\w)/).flatMap((part, at) => (at ? [h("wbr"), part] : [part]));

export const number = (value) => value.toLocaleString("en");
export const count = (many, noun) => `${number(many)} ${noun}${many === 1 ? "" : "s"}`;
