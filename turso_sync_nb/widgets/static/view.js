// A view of a widget: how it and its widget in the kernel talk, and the line at its foot.

import { button, h } from "./elements.js";

const READY_AFTER_MS = 300;
const ACK_WITHIN_MS = 700;
const PRESSED_MS = 1000;  // a button that is held down so long is drawn anew all the same
const OPEN_AGAIN_MS = [3000, 60000];  // from the first wait for an answer to the longest, doubled each time
const KERNEL_BUSY = "the kernel is busy with a cell and does this after it; the notebook's stop button ends the cell";
const UNANSWERED = ["status", "ack", "remote"];  // all others are updates

/** The class of a view that was told something: until then, and so for ever without a kernel, its snapshot is seen. */
const LIVE = "tsn-live";

const DISCONNECTED = { text: "disconnected: run the cell again", failed: true, busy: "" };

/**
 * Hear the kernel without anywidget between: for good, it lets no message through to a model whose module took longer
 * than 2 s to load, as in a busy browser (`Runtime.ready` in anywidget 0.11). marimo has neither that nor a manager.
 */
async function hearDirectly(model) {
  const own = await model.widget_manager?.get_model?.(model.get("_own_id"));
  const heard = own && Object.getPrototypeOf(Object.getPrototypeOf(own))._handle_comm_msg;
  if (heard) own.comm?.on_msg((message) => heard.call(own, message));
}

/**
 * Connect a view with its widget in the kernel. `handlers` are by message type, each called with the
 * message and its buffers as bytes. Updates are answered with `ready` when no more follow for a while. `request` sends
 * what a user wants: the kernel sends an `ack` at once, and until it does, the foot says that it waits. When the kernel
 * is gone, or another one in its place, the foot says so, and nothing is sent any more. A view says `open` again, later
 * and later, until an update of the type `wakes` tells it everything; an update before that says nothing to it.
 */
export function connect(model, el, wakes, handlers) {
  const view = Math.random().toString(36).slice(2);
  const unacknowledged = new Set();
  let timer, opening, live = true;
  const lost = () => {
    live = false;
    clearTimeout(opening);
    unacknowledged.clear();
    queueMicrotask(() => {  // not amid `render`
      foot.waits(false);
      known.status(DISCONNECTED);
    });
  };
  const send = (type, content = {}) => {
    if (!live) return lost();
    try {
      model.send({ type, view, ...content });
    } catch {
      lost();
    }
  };
  const request = (type, content = {}) => {
    const id = `${view} ${Math.random()}`;
    unacknowledged.add(id);
    setTimeout(() => unacknowledged.has(id) && foot.waits(true), ACK_WITHIN_MS);
    send(type, { ...content, request: id });
  };
  const foot = footLine(request);
  const ready = () => send("ready");
  const known = {
    status: foot.status,
    ack({ request: id }) {
      if (unacknowledged.delete(id) && !unacknowledged.size) foot.waits(false);
    },
    ...handlers,
  };
  const receive = (message, buffers) => {
    const isUpdate = !UNANSWERED.includes(message.type);
    if (message.type === wakes) {
      el.classList.add(LIVE);
      clearTimeout(opening);
      unacknowledged.clear();  // what was not heard of is answered
      foot.waits(false);
    } else if (isUpdate && !el.classList.contains(LIVE)) return;
    const bytes = buffers.map((each) => new Uint8Array(each.buffer ?? each, each.byteOffset ?? 0, each.byteLength));
    known[message.type]?.(message, bytes);
    if (!isUpdate) return;
    clearTimeout(timer);  // an answer amid updates would bring one more of them
    timer = setTimeout(ready, READY_AFTER_MS);
  };
  let pressed = false;  // what is drawn anew under a button that is down is not clicked: messages wait for it to be up
  const held = [];
  const hear = (...said) => (pressed ? held.push(said) : receive(...said));
  const releaseNow = () => {
    pressed = false;
    held.splice(0).forEach((said) => receive(...said));
  };
  const release = () => pressed && setTimeout(releaseNow);  // after the click
  el.addEventListener("pointerdown", () => {
    pressed = true;
    setTimeout(release, PRESSED_MS);
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, release);
  model.on("msg:custom", hear);
  model.on("comm_live_update", lost);
  const left = () => send("close");  // a page that goes disposes of nothing
  addEventListener("pagehide", left);
  const open = (wait) => {  // until it is answered: a view is hidden until it hears, and messages get lost
    if (wait > OPEN_AGAIN_MS[0]) hearDirectly(model).catch(console.debug);
    request("open");
    opening = setTimeout(open, wait, Math.min(2 * wait, OPEN_AGAIN_MS[1]));
  };
  open(OPEN_AGAIN_MS[0]);
  return {
    send,
    request,
    foot,
    close() {
      clearTimeout(timer);
      clearTimeout(opening);
      unacknowledged.clear();
      model.off("msg:custom", hear);
      for (const end of ["pointerup", "pointercancel"]) removeEventListener(end, release);
      model.off("comm_live_update", lost);
      removeEventListener("pagehide", left);
      send("close");
    },
  };
}

/** The line at the foot of a widget: what is being done, what went wrong, and the button that stops it. */
function footLine(request) {
  const line = h("span", { class: "tsn-status", role: "status" });
  const waits = h("span", { class: "tsn-waits", role: "status" });
  const cancel = button("Cancel", () => request("cancel"), null, { class: "tsn-cancel", hidden: true });
  return {
    element: h("div", { class: "tsn-foot" }, line, cancel, waits),
    status({ text, failed, busy }) {
      cancel.hidden = !busy;
      if (text == null) return;
      line.textContent = text;
      line.classList.toggle("tsn-failed", Boolean(failed));
    },
    idle: () => cancel.hidden,
    waits(on) {
      waits.textContent = on ? KERNEL_BUSY : "";
    },
  };
}
