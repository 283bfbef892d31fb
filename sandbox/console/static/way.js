// The way a message went, step by step: when, how long it took, each step's JSON, and how to do the same elsewhere.

import * as api from "./api.js";
import { asCode } from "./copy.js";
import { clock, framed, h, pretty, reconcile, toast } from "./dom.js";
import { journey } from "./journey.js";

export class Way {
  /** `records()` gives those the page has; `edit(channel, record)` takes a command to the editor. */
  constructor(root, world, records, split, edit) {
    this.world = world;
    this.records = records;
    this.split = split;
    this.edit = edit;
    this.chosen = null; // {conversation, message, needles}
    this.calls = [];
    this.opened = new Set();
    this.about = h("p", { class: "hint", text: "Choose “The way it went” below a message of the agent’s side." });
    this.list = h("ol", { class: "way", "aria-label": "Steps" });
    root.replaceChildren(this.about, this.list);
    this.draw = framed(() => this.#draw());
  }

  /** Show a message of the inbox; `needles` are the provider's names of its contact. */
  show(conversation, message, needles) {
    this.chosen = { conversation, message, needles };
    this.calls = [];
    this.opened.clear();
    reconcile(this.list, [], keyOf, null); // whatever is open there is of another message
    this.refresh();
  }

  /** Something has happened: there may be more steps. */
  async refresh() {
    if (!this.chosen) return;
    this.draw();
    const { conversation, message } = this.chosen;
    if (!message.ours || !this.#channel().simulator) return;
    const calls = await api.getCalls(conversation.channel).catch(() => []);
    if (this.chosen?.message !== message) return;
    this.calls = calls;
    this.draw();
  }

  #channel() {
    return this.world.channels.find(({ name }) => name === this.chosen.conversation.channel);
  }

  #draw() {
    if (!this.chosen) return;
    const { conversation, message, needles } = this.chosen;
    const names = [message.id, message.messageId].filter(Boolean);
    const steps = journey(this.records(), this.split, conversation, names, this.calls, [conversation.peer, ...needles]);
    const first = steps[0]?.at ?? 0;
    this.about.textContent = steps.length
      ? `${message.ours ? "Sent to" : "From"} ${conversation.title ?? conversation.peer}: ${steps.length} steps in ${steps.at(-1).at - first} ms`
      : "Its records are no longer among those the page keeps.";
    const rows = steps.map((step, index) => ({ step, since: index ? step.at - steps[index - 1].at : 0 }));
    reconcile(this.list, rows, ({ step }) => keyOf(step), (row) => this.#row(row));
  }

  #row({ step, since }) {
    const key = keyOf(step);
    const item = h("li", { class: `step ${step.what}` });
    const open = (wanted) => {
      button.setAttribute("aria-expanded", String(wanted));
      if (wanted) item.append(this.#detail(step));
      else item.querySelector(".detail")?.remove();
    };
    const toggle = () => {
      const wanted = !this.opened.delete(key);
      if (wanted) this.opened.add(key);
      open(wanted);
    };
    const bad = step.what === "status" && ["failed", "rejected", "expired", "uncertain"].includes(step.record.value.state);
    const button = h("button", { type: "button", class: "step-row", "aria-expanded": "false", on: { click: toggle } },
      h("span", { class: "what", text: step.what }),
      h("b", { class: bad ? "bad" : "", text: step.title }),
      h("time", { text: clock(step.at, true) }),
      h("span", { class: "since", text: `+${since} ms` }));
    item.append(button);
    if (this.opened.has(key)) open(true);
    return item;
  }

  #detail(step) {
    const texts = Object.entries(asCode(step, this.world, this.#channel()));
    const copy = texts.map(([tool, text]) => h("button", { type: "button", class: "quiet", text: `Copy as ${tool}`, on: { click: () => put(text) } }));
    const edit = step.what === "command" ? h("button", { type: "button", class: "quiet", text: "Edit as a command", on: { click: () => this.edit(this.chosen.conversation.channel, step.record) } }) : null;
    const shown = step.call ?? (step.what === "webhook" ? step.record.headers : step.record.value);
    return h("div", { class: "detail" }, h("div", { class: "copies" }, copy, edit), h("pre", { tabindex: "0", "aria-label": "JSON" }, pretty(shown)));
  }
}

const keyOf = (step) => `${step.what} ${step.record?.n ?? `${step.call.at} ${step.call.call}`}`;

async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser did not let it be copied.");
  }
}
