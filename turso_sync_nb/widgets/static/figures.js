// Times, sizes, shares and counts.

import { count, h } from "./elements.js";

/** The time of day, and the day if it is not today. */
export function moment(unixTime) {
  if (unixTime === null) return "never";
  const at = new Date(unixTime * 1000);
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.toLocaleDateString("sv")} `;
  return day + at.toLocaleTimeString("en-GB");
}

const AGES = [["day", 86400], ["hour", 3600], ["minute", 60]];

/** How long ago a moment was, as `units.format_ago` says it. */
export function ago(unixTime) {
  if (unixTime === null) return "never";
  const age = Date.now() / 1000 - unixTime;
  const [name, length] = AGES.find(([, each]) => age >= each) ?? [];
  return name ? `${count(Math.floor(age / length), name)} ago` : "just now";
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  let power = 0;
  while (power < 4 && bytes / 1000 ** power >= 999.95) power += 1;  // what rounds to 1000.0 is 1.0 of the next unit
  return `${(bytes / 1000 ** power).toFixed(1)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

/** The share that is here in percent: 100 only of all of it, 0 only of nothing. */
const percentOf = (here, total) => (here >= total ? 100 : Math.min(Math.max(Math.round((100 * here) / total), here ? 1 : 0), 99));

export const percent = (here, total) => `${percentOf(here, total)}\u00a0%`;

/** The share as a bar with its text. */
export function shareBar(here, total) {
  return h("span", { class: "tsn-share" }, h("span", { class: "tsn-track", "aria-hidden": "true" }, h("span", { class: "tsn-full", style: `width: ${percentOf(here, total)}%` })), ` ${percent(here, total)}`);
}

/** Counts as small bars. */
export function barsOf(counts, label = "how often values occur, from the smallest to the largest") {
  const most = Math.max(...counts, 1);
  return h("div", { class: "tsn-bars tsn-small", role: "img", "aria-label": label, title: label }, ...counts.map((each) => h("span", { style: `height: ${each ? Math.max((20 * each) / most, 1) : 0}px` })));
}
