// Columns of a grid: their widths, which do not shrink as other rows come and can be chosen, and the key that stays in sight.

import { h } from "./elements.js";

const NARROWEST = 40, STEP = 20;  // pixels
const FROZEN_MAX = 0.4;  // of the width in sight: a wider key scrolls with the rest

export function gridColumns(grid, scroller, head) {
  let columns = [], seen = [], chosen = {}, frozen = 0;

  function lay() {
    grid.style.gridTemplateColumns = columns.map((_, at) => (at in chosen ? `${chosen[at]}px` : `minmax(${Math.max(80, seen[at])}px, max-content)`)).join(" ");
    columns.forEach((_, at) => grid.style.setProperty(`--tsn-max-${at}`, at in chosen ? "none" : "400px"));
    let left = 0;
    for (let at = 0; at < frozen; at++) {
      grid.style.setProperty(`--tsn-left-${at}`, `${left}px`);
      left += head.children[at]?.offsetWidth ?? 0;
    }
    const freezes = left <= FROZEN_MAX * scroller.clientWidth;
    grid.classList.toggle("tsn-freezes", freezes);
    scroller.style.scrollPadding = `${head.firstElementChild?.offsetHeight ?? 0}px 0 0 ${freezes ? left : 0}px`;
  }

  function choose(at, width) {
    chosen[at] = Math.max(Math.round(width), NARROWEST);
    lay();
  }

  return {
    begin(found) {
      const isSame = found.map(({ name }) => name).join("\n") === columns.map(({ name }) => name).join("\n");
      columns = found;
      if (!isSame) [seen, chosen] = [found.map(() => 0), {}];
      frozen = Math.max(found.findIndex((column) => !column.key), 0);
      lay();
    },
    /** What a cell of a column looks like. */
    styleOf: (at) => `max-width: var(--tsn-max-${at}, 400px)${at < frozen ? `; left: var(--tsn-left-${at})` : ""}`,
    isFrozen: (at) => at < frozen,
    /** Keep the widths that there are now. */
    keep() {
      if (!scroller.clientWidth) return;  // out of sight
      columns.forEach((_, at) => (seen[at] = Math.max(seen[at], head.children[at].getBoundingClientRect().width)));
      lay();
    },
    step: (at, direction) => choose(at, head.children[at].offsetWidth + direction * STEP),
    /** What is dragged to make a column wider; a double click makes it as wide as what is in it. */
    grip(at) {
      let from = null;
      return h("span", { class: "tsn-grip", title: "drag: width; double click: as wide as its values", "aria-hidden": "true",
        onpointerdown: (event) => {
          event.preventDefault();
          event.target.setPointerCapture(event.pointerId);
          from = head.children[at].offsetWidth - event.clientX;
        },
        onpointermove: (event) => from !== null && choose(at, from + event.clientX),
        onpointerup: () => (from = null),
        onpointercancel: () => (from = null),
        ondblclick: () => {
          delete chosen[at];
          seen[at] = 0;
          lay();
        } });
    },
  };
}
