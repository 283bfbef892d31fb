// The customer's "+": what their phone can send beside texts and files.

import { askFor, h, iconButton, toast } from "./dom.js";

const TITLES = { location: "Location", contact: "Contact", sticker: "Sticker", voice: "Voice message", post: "Post" };
const ASKED = {
  location: [
    { name: "name", label: "Name of the place", value: "Town hall" },
    { name: "latitude", label: "Latitude", value: "59.437" },
    { name: "longitude", label: "Longitude", value: "24.7453" },
  ],
  contact: [
    { name: "name", label: "Name", value: "Grace Hopper" },
    { name: "phone", label: "Phone number", value: "+46 70 174 06 01" },
  ],
};

export class Shares {
  /** `send(kind, fields)` async hears of what was chosen. */
  constructor(send) {
    this.send = send;
    this.root = h("div", { class: "shares", hidden: true, role: "group", "aria-label": "Send from the phone" });
    this.toggle = iconButton("add", "Location, sticker and more", () => this.#open(this.root.hidden), { "aria-expanded": "false" });
  }

  /** The phone has these. */
  show(kinds) {
    if (kinds === this.kinds) return;
    this.kinds = kinds;
    this.toggle.hidden = !kinds.length;
    if (!kinds.length) this.#open(false);
    this.root.replaceChildren(...kinds.map((kind) => h("button", { type: "button", class: "share", text: TITLES[kind] ?? kind, on: { click: () => this.#choose(kind) } })));
  }

  #open(wanted) {
    this.root.hidden = !wanted;
    this.toggle.setAttribute("aria-expanded", String(wanted));
  }

  async #choose(kind) {
    this.#open(false);
    const fields = ASKED[kind] ? await askFor(TITLES[kind], ASKED[kind], "Send") : {};
    if (fields) await this.send(kind, fields).catch((problem) => toast(problem.message));
  }
}
