// The page map: a canvas of cells, one a page (several, if there are more than a million), and beside it a
// table that says the same in words.

import { button, count, focusedBeside, h, headOf, tableOf } from "./elements.js";
import { shareBar, size } from "./figures.js";
import { isDark, watchTheme } from "./theme.js";
import { connect } from "./view.js";

const ABSENT = 0, HERE = 1, CHANGED = 2, FRESH = 3;
const STATES = ["absent", "here", "changed here", "downloaded by the last cell"];
const CELL_SIZES = [14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1];
const AREA_MAX = 460;  // pixels of height that cells should fit into; a million pages scroll
const GAP_FROM = 5;  // cells of this size and more have a line between them

/** Yield unsigned LEB128 numbers. */
function numbers(bytes) {
  let at = 0;
  return {
    get done() {
      return at >= bytes.length;
    },
    next() {
      let value = 0;
      for (let factor = 1; ; factor *= 128) {
        const byte = bytes[at++];
        value += (byte & 127) * factor;
        if (byte < 128) return value;
      }
    },
  };
}

function readWhole(bytes, array) {
  const read = numbers(bytes);
  for (let at = 0; !read.done; ) {
    const length = read.next();
    array.fill(read.next(), at, at + length);
    at += length;
  }
}

function readDelta(bytes, array) {
  const read = numbers(bytes);
  while (!read.done) {
    const value = read.next();
    for (let runs = read.next(), at = 0; runs; runs--) {
      at += read.next();
      const length = read.next();
      array.fill(value, at, at + length);
      at += length;
    }
  }
}

/** A colour as a pixel of ImageData: hue in degrees, the others from 0 to 1. */
function pixel(hue, saturation, lightness) {
  const spread = saturation * Math.min(lightness, 1 - lightness);
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (lightness - spread * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return (255 << 24) | (part(4) << 16) | (part(8) << 8) | part(0);
}

const swatch = (abgr) => h("span", { class: "tsn-swatch", style: `background: ${css(abgr)}`, "aria-hidden": "true" });

const css = (abgr) => `rgb(${abgr & 255} ${(abgr >> 8) & 255} ${(abgr >> 16) & 255})`;

/** The colours of every state of every owner; owner 0 is unknown. */
function palette(owners, dark) {
  const lightness = dark ? [0.3, 0.55, 0, 0.78] : [0.88, 0.55, 0, 0.32];
  const changed = dark ? pixel(25, 1, 0.6) : pixel(20, 1, 0.42);
  const colours = new Uint32Array(4 * (owners + 1));
  for (let owner = 0; owner <= owners; owner++)
    for (let state = 0; state < 4; state++)
      colours[4 * owner + state] =
        state === CHANGED ? changed : pixel((200 + owner * 137.5) % 360, owner ? 0.6 : 0, lightness[state]);
  return colours;
}

function render({ model, el }) {
  el.classList.add("tsn-widget", "tsn-page-map");
  let owners = [], states = new Uint8Array(0), owned = new Uint16Array(0), pageSize = 4096;
  let colours = palette(0, false), dark = false, columns = 1, cell = 1, cursor = -1;
  let pages = 0, perCell = 1, counts = [];  // by owner, unknown first, and state
  let asked = "";  // what of is being asked whether to fetch it
  const sheet = document.createElement("canvas");  // one pixel a cell; stretched onto the visible one

  const canvas = h("canvas", { tabindex: "0", role: "application", "aria-label": "map of the database", onmousemove: point, onmouseleave: () => where(-1), onclick: pick, onkeydown: step });
  const place = h("output", { class: "tsn-where" });
  const summary = h("div", { class: "tsn-summary" });
  const rows = h("tbody");
  const legend = h("div", { class: "tsn-legend", "aria-hidden": "true" });
  const inner = h("tbody");  // what is nobody's table: SQLite's own, ours, pages of no use or of unknown use
  const byName = (caption, body) => tableOf(headOf(["name", "size", "here", ""], [1]), body, caption);
  const others = h("details", {}, h("summary", {}, "Other parts of the file"), byName("Of no table of yours", inner));
  const { request, foot, close } = connect(model, el, "whole", {
    whole(message, [stateBytes, ownerBytes]) {
      const began = performance.now();
      owners = message.owners;
      pageSize = message.page_size;
      pages = message.pages;
      perCell = message.pages_per_cell;
      counts = message.counts;
      states = new Uint8Array(Math.ceil(pages / perCell));
      owned = new Uint16Array(states.length);
      readWhole(stateBytes, states);
      readWhole(ownerBytes, owned);
      foot.status({ busy: message.busy });
      recolour();
      performance.measure("tsn-page-map-whole", { start: began });
    },
    delta(message, [stateBytes, ownerBytes]) {
      const began = performance.now();
      counts = message.counts;
      readDelta(stateBytes, states);
      readDelta(ownerBytes, owned);
      draw();
      performance.measure("tsn-page-map-delta", { start: began, detail: stateBytes.length + ownerBytes.length });
    },
    ask: askFirst,
    status,
  });
  const question = h("span", { role: "status" });
  const ask = h("tr", { class: "tsn-ask" }, h("td", { colspan: 4 }, question, " ",
    button("Fetch", () => fetchNamed(asked, true)), " ", button("Not now", () => askNoMore())));

  function recolour() {
    if (!scroller.clientWidth) return;  // out of sight; being seen again is a change of size
    dark = isDark(el);
    colours = palette(owners.length, dark);
    legend.replaceChildren(...STATES.map((state, at) => h("span", {}, swatch(colours[at]), state)));
    layOut();
  }

  function layOut() {
    const width = Math.max(scroller.clientWidth, 100);
    cell = CELL_SIZES.find((each) => Math.ceil(states.length / Math.floor(width / each)) * each <= AREA_MAX) ?? 1;
    columns = Math.max(Math.floor(width / cell), 1);
    sheet.width = columns;
    sheet.height = Math.max(Math.ceil(states.length / columns), 1);
    canvas.width = columns * cell;
    canvas.height = sheet.height * cell;
    draw();
  }

  function draw() {
    const image = new ImageData(sheet.width, sheet.height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let at = 0; at < states.length; at++) pixels[at] = colours[4 * owned[at] + states[at]];
    sheet.getContext("2d").putImageData(image, 0, 0);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(sheet, 0, 0, canvas.width, canvas.height);
    if (cell >= GAP_FROM) {
      context.fillStyle = getComputedStyle(el).backgroundColor;
      for (let x = cell - 1; x < canvas.width; x += cell) context.fillRect(x, 0, 1, canvas.height);
      for (let y = cell - 1; y < canvas.height; y += cell) context.fillRect(0, y, canvas.width, 1);
    }
    if (cursor >= 0) {
      context.strokeStyle = dark ? "#fff" : "#000";
      context.lineWidth = 2;
      context.strokeRect((cursor % columns) * cell - 1, Math.floor(cursor / columns) * cell - 1, cell + 2, cell + 2);
    }
    describe();
  }

  const sizeOf = (count) => size(count * pageSize);

  function describe() {
    const total = (state) => counts.reduce((sum, each) => sum + each[state], 0);
    const here = pages - total(ABSENT);
    summary.textContent = [`${sizeOf(here)} of ${sizeOf(pages)} here`, total(FRESH) ? `${sizeOf(total(FRESH))} downloaded by the last cell` : "", total(CHANGED) ? `${sizeOf(total(CHANGED))} changed here` : ""].filter(Boolean).join(" · ");
    canvas.setAttribute("aria-label", `map: ${summary.textContent}; arrow keys go from square to square`);
    const focused = beside.contains(focusedBeside(beside)) ? focusedBeside(beside).dataset.fetch : undefined;
    const known = (owner) => counts[owner].reduce((sum, each) => sum + each, 0);
    const listed = [...owners.keys()].map((at) => at + 1).sort((one, other) => known(other) - known(one));
    const isInner = (owner) => owners[owner - 1].internal;
    rows.replaceChildren(...listed.filter((owner) => !isInner(owner)).flatMap(row));
    inner.replaceChildren(...listed.filter((owner) => isInner(owner) && known(owner)).concat(known(0) ? [0] : []).flatMap(row));
    if (focused) ([...beside.querySelectorAll("button")].find((each) => each.dataset.fetch === focused) ?? beside).focus({ preventScroll: true });
  }

  function row(owner) {
    const [absent, here, changed, fresh] = counts[owner];
    const known = absent + here + changed + fresh;
    const { kind, name, label, table } = owners[owner - 1] ?? { kind: "", label: "not known yet" };
    const fetch = button(`Fetch ${sizeOf(absent)}`, () => fetchOwner(owner), `download what is missing of ${label}`, { "aria-label": `Fetch ${sizeOf(absent)} of ${label}`, "data-fetch": name });
    return [h("tr", {}, h("th", { scope: "row" }, swatch(colours[4 * owner + HERE]), label, kind === "index" ? h("small", {}, ` index of ${table}`) : ""),
      h("td", { class: "tsn-number", title: absent ? "what is not here may lead to more" : null }, absent ? `≥ ${sizeOf(known)}` : sizeOf(known)), h("td", {}, known ? shareBar(known - absent, known) : ""),
      h("td", {}, ...(absent > 0 && owner && kind !== "free" ? [fetch] : []))), ...(asked && asked === name ? [ask] : [])];
  }

  function fetchOwner(owner) {
    const { kind, name } = owners[owner - 1] ?? {};
    if (kind === "table" || kind === "index") fetchNamed(name, false);
    else foot.status({ text: "nothing that is here tells whose that is" });
  }

  function fetchNamed(name, sure) {
    askNoMore();
    request("fetch", { name, sure });
  }

  function askFirst(message) {
    asked = message.name;
    question.textContent = `Download ${size(message.bytes)} or more of ${owners.find((each) => each.name === asked)?.label ?? asked}?`;
    others.open ||= owners.some((each) => each.internal && each.name === asked);
    describe();
    ask.querySelector("button").focus({ preventScroll: true });
  }

  function askNoMore() {
    asked = "";
    describe();
  }

  function status(message) {
    foot.status(message);
    if (message.busy && asked) askNoMore();
  }

  function cellAt(event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) * canvas.width) / box.width / cell);
    const at = Math.floor(((event.clientY - box.top) * canvas.height) / box.height / cell) * columns + column;
    return at < states.length ? at : -1;
  }

  function where(at) {
    const owner = owners[owned[at] - 1];
    const whose = !owner ? "not known yet whose" : owner.kind === "index" ? `index ${owner.label} of ${owner.table}` : `${owner.kind === "table" ? "table " : ""}${owner.label}`;
    place.textContent = at < 0 ? "" : `${whose} · ${STATES[states[at]]} · ${sizeOf(Math.min(perCell, pages - at * perCell))} at ${sizeOf(at * perCell)} of the file`;
  }

  function point(event) {
    where(cellAt(event));
  }

  function pick(event) {
    const at = cellAt(event);
    if (at >= 0) fetchOwner(owned[at]);
  }

  function step(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" && cursor >= 0) fetchOwner(owned[cursor]);
    else if (event.key in steps) cursor = Math.max(0, Math.min(Math.max(cursor, 0) + steps[event.key], states.length - 1));
    else return;
    event.preventDefault();
    event.stopPropagation();
    draw();
    where(cursor);
  }

  const scroller = h("div", { class: "tsn-scroller" }, canvas);
  const beside = h("div", { class: "tsn-scroller tsn-table", tabindex: "0", role: "region", "aria-label": "what is here, by table" }, byName("What is here, by table", rows), others);
  el.append(summary, h("div", { class: "tsn-beside" }, h("div", { class: "tsn-map" }, scroller, legend, place), beside), foot.element);
  const resized = new ResizeObserver(() => states.length && recolour());
  resized.observe(el);
  const unwatch = watchTheme(el, recolour);
  return () => {
    resized.disconnect();
    unwatch();
    close();
  };
}

export default { render };
