// The theme that a widget is seen in.

/**
 * Call `changed` whenever the theme is another; returns how to stop. What JupyterLab, VS Code and Colab mark it
 * with may say so before the colours are there, so the style sheet also gives the background a transition, whose
 * end says it.
 */
export function watchTheme(element, changed) {
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
export function isDark(element) {
  const [red, green, blue] = getComputedStyle(element).backgroundColor.match(/[\d.]+/g).map(Number);
  return 0.3 * red + 0.6 * green + 0.1 * blue < 128;
}
