// Elements are built, never parsed: no text of a customer is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: `class`, `text`, `on` ({event: handler}), `style` (custom properties), else attributes. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "style") for (const [key, setting] of Object.entries(value)) element.style.setProperty(key, setting);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  reply: "M9 7 4 12l5 5M4 12h9a7 7 0 0 1 7 7",
  react: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M8.5 14.5a4.5 4.5 0 0 0 7 0M9 9.5v.01M15 9.5v.01",
  edit: "m4 20 1-4L16 5l3 3L8 19zM14 7l3 3",
  delete: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
  attach: "m20 11-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 5 5l-8.5 8.5a1.7 1.7 0 0 1-2.500-2.500L14.500 7.500",
  send: "M4 12 20 4l-4 16-4-7zM12 13l8-9",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
  close: "M6 6l12 12M18 6 6 18",
  add: "M12 5v14M5 12h14",
  buttons: "M4 6h16v5H4zM4 14h7v5H4zM13 14h7v5h-7z",
  block: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M5.700 5.700l12.600 12.600",
  read: "m3 13 4 4 8-9M11 16l1 1 8-9",
  start: "M7 5v14l12-7z",
  pause: "M8 5v14M16 5v14",
  newest: "M12 4v14M6 13l6 6 6-6",
  again: "M20 11a8 8 0 1 0-2.300 6M20 5v6h-6",
  way: "M6 5v.01M6 12v.01M6 19v.01M10 5h9M10 12h9M10 19h9",
  template: "M5 4h14v16H5zM8.500 8h7M8.500 12h7M8.500 16h4",
};

/** A line icon of the set above. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon and says its label. */
export function iconButton(name, label, onClick, props = {}) {
  return h("button", { type: "button", class: "icon", title: label, "aria-label": label, on: { click: onClick }, ...props }, icon(name));
}

/** Make `parent` hold one element per item, touching only those whose data changed; keeps focus and open images. */
export function reconcile(parent, items, keyOf, render) {
  const known = parent.rendered ?? (parent.rendered = new Map());
  const wanted = new Map();
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    const data = JSON.stringify(item);
    let entry = known.get(key);
    if (!entry || entry.data !== data) {
      const element = render(item);
      if (entry) entry.element.replaceWith(element);
      entry = { element, data };
    }
    wanted.set(key, entry);
    const next = before ? before.nextSibling : parent.firstChild;
    if (next !== entry.element) parent.insertBefore(entry.element, next);
    before = entry.element;
  }
  for (const [key, entry] of known) if (wanted.get(key) !== entry) entry.element.remove();
  parent.rendered = wanted;
}

/** Calls `work` once per frame, however often it is asked. */
export function framed(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

export function clock(time, withSeconds = false) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Date(time).toLocaleTimeString([], withSeconds ? { ...options, second: "2-digit", fractionalSecondDigits: 3 } : options);
}

/** A time that may be on another day. */
export function moment(time) {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  return today ? clock(time) : `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${clock(time)}`;
}

export function bytes(size) {
  if (size < 1024) return `${size} B`;
  return size < 1024 * 1024 ? `${Math.round(size / 1024)} KB` : `${(size / 1024 / 1024).toFixed(1)} MB`;
}

export function initials(name) {
  const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  return words.slice(0, 2).map((word) => [...word][0].toUpperCase()).join("") || "?";
}

/** A hue that is always the same for the same name. */
export function hue(name) {
  let sum = 7;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 360;
  return sum;
}

/** Tell the person that something did not work. */
export function toast(text) {
  const note = h("p", { text });
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), 6000);
}

/** A dialog that is open until it is closed; `content` is what stands in it. Gone afterwards. */
export function openDialog(title, content, props = {}) {
  const dialog = h("dialog", { "aria-label": title, ...props }, h("h2", { text: title }), content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask for some lines of text; `fields` are [{name, label, value}]. What was written by name, or null when given up. */
export function askFor(title, fields, submit) {
  return new Promise((resolve) => {
    const inputs = fields.map(({ label, value = "" }) => h("input", { type: "text", "aria-label": label, placeholder: label, autocomplete: "off", maxlength: 120, value }));
    let written = null;
    const done = (event) => {
      event.preventDefault();
      written = Object.fromEntries(fields.map(({ name }, index) => [name, inputs[index].value.trim()]));
      dialog.close();
    };
    const form = h("form", { on: { submit: done } }, inputs, choices(submit, () => dialog.close()));
    const dialog = openDialog(title, form);
    dialog.addEventListener("close", () => resolve(written));
    inputs[0].focus();
  });
}

/** Ask for one line of text; null when given up. */
export async function ask(title, label, submit) {
  return (await askFor(title, [{ name: "line", label }], submit))?.line ?? null;
}

/** The two buttons below a dialog's form. */
export function choices(submit, cancel) {
  return h("div", { class: "choices" },
    h("button", { type: "button", class: "quiet", text: "Cancel", on: { click: cancel } }),
    h("button", { type: "submit", class: "primary", text: submit }));
}

/** JSON as text nodes and coloured spans. */
export function pretty(value, indent = "") {
  if (typeof value === "string") return [h("span", { class: "s", text: JSON.stringify(value) })];
  if (value === null || typeof value !== "object") return [h("span", { class: "n", text: String(value) })];
  const list = Array.isArray(value);
  const entries = Object.entries(value);
  if (!entries.length) return [list ? "[]" : "{}"];
  const inner = `${indent}  `;
  const lines = entries.flatMap(([name, item], index) => [
    index ? ",\n" : "\n",
    inner,
    ...(list ? [] : [h("span", { class: "k", text: JSON.stringify(name) }), ": "]),
    ...pretty(item, inner),
  ]);
  return [list ? "[" : "{", ...lines, `\n${indent}`, list ? "]" : "}"];
}
