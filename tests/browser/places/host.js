// A place that shows widgets, in little: models as anywidget gives them, whose messages the test carries.
// The page itself defines `addOutput(cell)`, which gives the element of one more output of a cell.

const models = {};
const outbox = [];

function makeModel(name) {
  const listeners = {};
  return {
    on: (event, listener) => void (listeners[event] ??= new Set()).add(listener),
    off: (event, listener) => void listeners[event]?.delete(listener),
    get: () => undefined,
    set() {},
    save_changes() {},
    send: (content) => void outbox.push([name, content]),
    trigger: (event, ...given) => listeners[event]?.forEach((listener) => listener(...given)),
  };
}

function showSnapshot(name, html) {
  addOutput(name).innerHTML = html;
}

async function showWidget(name, script, styles) {
  document.head.append(Object.assign(document.createElement("style"), { textContent: styles }));
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const background = addOutput(name);
  background.classList.add("cell-output-ipywidget-background");
  const el = background.appendChild(document.createElement("div"));
  models[name] = makeModel(name);
  widget.render({ model: models[name], el });
}

function deliver(messages) {
  for (const [name, content, buffers] of messages) {
    const bytes = buffers.map((each) => new DataView(Uint8Array.from(atob(each), (letter) => letter.charCodeAt(0)).buffer));
    models[name].trigger("msg:custom", content, bytes);
  }
}
