// The records as they flow: a bounded list, filtered by topic, conversation and words; JSON on click.

import { bytes, clock, framed, h, iconButton, pretty } from "./dom.js";

const KEPT = 2_000;
const DRAWN = 200;
const ORDER = ["raw", "inbound", "outbound", "statuses", "state", "parked", "parked-files", "deadletter", "accounts", "account-health", "capabilities"];

export class Records {
  /** `split(topic)` gives channel and short name; `selected()` the conversation shown, or null. */
  constructor(root, split, selected) {
    this.split = split;
    this.selected = selected;
    this.kept = [];
    this.waiting = 0;
    this.paused = false;
    this.opened = new Set();
    this.hidden = new Set();
    this.rows = new Map();
    this.list = h("ol", { class: "record-list", "aria-label": "Records", tabindex: "0" });
    this.count = h("p", { class: "count", role: "status" });
    this.words = h("input", { type: "search", placeholder: "Find in type, key or value", "aria-label": "Find records", on: { input: () => this.redraw() } });
    this.only = h("input", { type: "checkbox", id: "only", on: { change: () => this.redraw() } });
    this.chips = new Map(ORDER.map((name) => [name, this.#chip(name)]));
    this.pauseButton = iconButton("pause", "Pause", () => this.#pause(), { "aria-pressed": "false" });
    root.replaceChildren(
      h("header", { class: "pane-head" },
        h("div", { class: "who" }, h("h2", { text: "Kafka records" }), this.count),
        this.pauseButton,
        iconButton("delete", "Clear the list", () => this.#clear())),
      h("div", { class: "filters" },
        h("div", { class: "topic-chips", role: "group", "aria-label": "Topics" }, [...this.chips.values()]),
        this.words,
        h("label", { class: "check", for: "only" }, this.only, "only this conversation")),
      this.list,
    );
    this.draw = framed(() => this.#draw());
    this.#say();
  }

  /** Take new records, oldest first. */
  add(records) {
    this.kept.push(...records);
    this.waiting += records.length;
    if (this.kept.length > KEPT) this.kept.splice(0, this.kept.length - KEPT);
    this.draw();
  }

  /** Filter anew: another conversation, other words, other topics. */
  redraw() {
    this.rows.clear();
    this.list.replaceChildren();
    this.draw();
  }

  #chip(name) {
    const toggle = () => {
      if (!this.hidden.delete(name)) this.hidden.add(name);
      chip.setAttribute("aria-pressed", String(!this.hidden.has(name)));
      this.redraw();
    };
    const chip = h("button", { type: "button", class: `topic ${name}`, "aria-pressed": "true", text: name, on: { click: toggle } });
    return chip;
  }

  #pause() {
    this.paused = !this.paused;
    this.pauseButton.setAttribute("aria-pressed", String(this.paused));
    this.draw();
  }

  #clear() {
    this.kept = [];
    this.opened.clear();
    this.redraw();
  }

  #wanted(record) {
    if (this.hidden.has(this.split(record.topic)[1])) return false;
    if (this.only.checked && !this.#isSelected(record)) return false;
    const words = this.words.value.trim().toLowerCase();
    if (!words) return true;
    record.searched ??= `${record.type} ${record.key} ${JSON.stringify(record.value)}`.toLowerCase();
    return record.searched.includes(words);
  }

  #isSelected(record) {
    const conversation = this.selected();
    if (!conversation) return false;
    return record.key === conversation.id || record.headers.ce_subject === conversation.id || record.value?.conversation_id === conversation.id
      || (this.split(record.topic)[1] === "raw" && this.split(record.topic)[0] === conversation.channel && record.key.includes(conversation.peer));
  }

  #draw() {
    this.#say();
    if (this.paused) return;
    this.waiting = 0;
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 60;
    const shown = [];
    for (let index = this.kept.length - 1; index >= 0 && shown.length < DRAWN; index -= 1) {
      if (this.#wanted(this.kept[index])) shown.push(this.kept[index]);
    }
    const numbers = new Set(shown.map((record) => record.n));
    for (const [number, row] of this.rows) {
      if (numbers.has(number)) continue;
      row.remove();
      this.rows.delete(number);
    }
    for (const record of shown.reverse()) {
      if (this.rows.has(record.n)) continue;
      const row = this.#row(record);
      this.rows.set(record.n, row);
      this.list.append(row);
    }
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  #say() {
    this.count.textContent = this.paused ? `paused · ${this.waiting} new` : `${this.kept.length} kept of the newest ${KEPT}`;
  }

  #row(record) {
    const [channel, name] = this.split(record.topic);
    const type = record.type.replace(/^channels\./, "").replace(/\.v1$/, "") || (record.tombstone ? "tombstone" : name);
    const item = h("li", { class: "record", "data-n": record.n });
    const open = (expanded) => {
      button.setAttribute("aria-expanded", String(expanded));
      if (expanded) item.append(detail(record));
      else item.querySelector(".detail")?.remove();
    };
    const toggle = () => {
      const expanded = !this.opened.delete(record.n);
      if (expanded) this.opened.add(record.n);
      open(expanded);
      if (expanded) item.lastChild.scrollIntoView({ block: "nearest" });
    };
    const button = h(
      "button",
      { type: "button", class: "row", "aria-expanded": "false", on: { click: toggle } },
      h("span", { class: `topic ${name}`, text: name }),
      h("span", { class: "type" }, type, summary(record)),
      h("time", { text: clock(record.at, true) }),
      h("span", { class: "key", text: record.key, title: record.key }),
      channel ? h("span", { class: "channel", text: channel }) : null,
    );
    item.append(button);
    if (this.opened.has(record.n)) open(true);
    return item;
  }
}

/** What a person looks for first in a record, in a word. */
function summary(record) {
  const data = record.value;
  if (record.tombstone || data === null || typeof data !== "object") return null;
  const word = data.state ?? data.health ?? data.content?.kind ?? data.attachment?.kind ?? data.emoji ?? data.code ?? null;
  return typeof word === "string" ? h("em", { class: ["failed", "rejected", "expired"].includes(word) ? "bad" : "", text: word }) : null;
}

function detail(record) {
  const facts = { topic: record.topic, partition: record.partition, offset: record.offset, key: record.key, ...record.headers };
  return h(
    "div",
    { class: "detail" },
    h("dl", {}, Object.entries(facts).flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: String(value) })])),
    record.tombstone ? h("p", { class: "hint", text: "No value: this key is gone." }) : h("pre", { tabindex: "0", "aria-label": "Value" }, pretty(record.value)),
    record.cut ? h("p", { class: "hint", text: `Cut: the whole value has ${bytes(record.size)}.` }) : null,
  );
}
