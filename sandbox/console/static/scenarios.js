// What can happen at the provider: press a button, and see what the connector makes of it.

import * as api from "./api.js";
import { h, toast } from "./dom.js";

export class Scenarios {
  /** `changed()` hears that something was done. */
  constructor(root) {
    this.thread = null;
    this.state = null;
    this.planned = h("ul", { class: "planned", "aria-label": "Planned" });
    this.time = h("p", { class: "hint" });
    this.end = h("button", { type: "button", class: "quiet", text: "End all of it", on: { click: () => this.#do(api.endScenarios) } });
    this.connect = h("button", { type: "button", class: "quiet", text: "Connect the account again", on: { click: () => this.#reconnect() } });
    this.list = h("ul", { class: "scenarios" });
    this.none = h("p", { class: "hint", text: "This channel runs against the real provider: nothing can be staged there." });
    root.replaceChildren(this.none, h("div", { class: "now", role: "status" }, this.planned, this.time), h("div", { class: "copies" }, this.end, this.connect), this.list);
    this.#draw();
  }

  select(thread) {
    const other = thread?.channel.name !== this.thread?.channel.name;
    this.thread = thread;
    if (!other) return;
    this.state = null;
    this.#draw();
    this.refresh();
  }

  /** Ask the simulator what is planned. */
  async refresh() {
    const name = this.thread?.channel.scenarios.length ? this.thread.channel.name : null;
    if (!name) return;
    const state = await api.getScenarios(name).catch(() => null);
    if (this.thread?.channel.name === name && state) this.#show(state);
  }

  #show(state) {
    this.state = state;
    this.planned.replaceChildren(...state.planned.map((fault) => h("li", { text: described(fault) })));
    this.time.textContent = state.ahead > 60 ? `Time there is ${Math.round(state.ahead / 360) / 10} hours ahead of ours.` : state.planned.length ? "" : "Nothing is planned; time there is ours.";
    this.end.disabled = !state.planned.length;
  }

  #draw() {
    const scenarios = this.thread?.channel.scenarios ?? [];
    this.none.hidden = !this.thread || scenarios.length > 0;
    this.end.hidden = this.connect.hidden = !scenarios.length;
    this.planned.replaceChildren();
    this.time.textContent = "";
    this.list.replaceChildren(...scenarios.map(({ name, title, does }) =>
      h("li", {},
        h("button", { type: "button", class: "scenario", "aria-describedby": `does-${name}`, text: title, on: { click: () => this.#do((channel) => api.runScenario(channel, name, this.thread.person?.id ?? "")) } }),
        h("p", { id: `does-${name}`, class: "hint", text: does }))));
  }

  async #do(work) {
    try {
      this.#show(await work(this.thread.channel.name));
    } catch (problem) {
      toast(problem.message);
    }
  }

  async #reconnect() {
    try {
      await api.reconnect(this.thread.channel.name);
      toast("The account has new credentials.");
    } catch (problem) {
      toast(problem.message);
    }
  }
}

function described({ kind, where, count }) {
  const times = count === null ? "until it is ended" : count === 1 ? "once" : `${count} times`;
  return `${kind.replaceAll("_", " ")} · ${where.call ?? "every call"} · ${times}`;
}
