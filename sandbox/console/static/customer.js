// The customer's side: the simulator's own view of the conversation, and what a person does in the channel's app.

import * as api from "./api.js";
import { ask, framed, h, iconButton, toast } from "./dom.js";
import { MailLines } from "./mail.js";
import { ChatPane } from "./pane.js";
import { Shares } from "./shares.js";

const OFFERED = { reply: "write", react: "react", edit: "edit", delete: "delete" }; // and the action each needs

const BREATH = 40; // ms between two questions to the simulator

export class Customer {
  constructor(root) {
    this.root = root;
    this.thread = null;
    this.view = null;
    this.loading = false;
    this.stale = false;
    this.mail = new MailLines("Customer", "Subject");
    this.shares = new Shares((kind, fields) => this.#do("share", { kind, ...fields }));
    this.pane = new ChatPane(root, {
      name: "Customer",
      placeholder: "Write as the customer",
      send: (draft) => this.#send(draft),
      act: (name, data, argument) => this.#deed(name, data, argument),
      tools: [this.shares.toggle, this.mail.toggle],
    });
    this.pane.composer.insertBefore(this.shares.root, this.pane.composer.lastChild);
    this.pane.composer.insertBefore(this.mail.root, this.pane.composer.lastChild);
    this.draw = framed(() => this.#draw());
  }

  /** Show the person of a thread; where customers are `real` there is nothing to play. */
  select(thread, real) {
    const other = thread?.key !== this.thread?.key;
    this.thread = thread;
    this.root.hidden = real;
    this.mail.show(thread?.channel.subjects ?? false);
    this.shares.show(thread?.channel.shares ?? []);
    if (other) {
      this.view = null;
      this.pane.reset();
      this.mail.clear();
      this.refresh();
    }
    this.draw();
  }

  /** Ask the simulator again; asked while asking, once more afterwards. */
  async refresh() {
    if (!this.thread?.person) return this.draw();
    if (this.loading) {
      this.stale = true;
      return;
    }
    this.loading = true;
    const { key, channel, person } = this.thread;
    try {
      const view = await api.getView(channel.name, person.id);
      if (this.thread?.key === key) this.view = view;
    } catch (problem) {
      toast(problem.message);
    }
    this.draw();
    setTimeout(() => {
      this.loading = false;
      if (!this.stale) return;
      this.stale = false;
      this.refresh();
    }, BREATH);
  }

  #can(action) {
    return this.thread?.channel.actions?.includes(action) ?? false;
  }

  #draw() {
    const { thread, view } = this;
    this.#drawHead();
    const person = thread?.person;
    const messages = view?.messages ?? [];
    const texts = new Map(messages.map((message) => [message.id, message.text || message.files[0]?.name || "message"]));
    const typing = (view?.typing_until ?? 0) * 1000 - Date.now();
    clearTimeout(this.timer);
    if (typing > 0) this.timer = setTimeout(() => this.refresh(), Math.min(typing + 20, 60_000));
    const empty = person ? `Write to ${thread.channel.accounts[0]?.name ?? "the business"} as ${person.name}.` : "Choose a conversation.";
    this.pane.show(messages.map((message) => this.#bubble(message, texts)), typing > 0, empty);
    this.pane.enable(!person ? "Nobody to write as." : view?.blocked ? "Blocked: unblock the business to write." : null);
  }

  #drawHead() {
    const { thread, view } = this;
    const person = thread?.person;
    const tools = [];
    if (person && this.#can("start")) tools.push(iconButton("start", "Start, with a deep link", () => this.#start()));
    if (person && this.#can("read")) tools.push(iconButton("read", "Read everything", () => this.#do("read", {})));
    if (person && this.#can("block")) {
      const label = view?.blocked ? "Unblock the business" : "Block the business";
      tools.push(iconButton("block", label, () => this.#do("block", { blocked: !view?.blocked }), { "aria-pressed": String(Boolean(view?.blocked)) }));
    }
    this.pane.header.replaceChildren(
      h("div", { class: "who" },
        h("h2", { text: person?.name ?? "Customer" }),
        h("p", { text: person ? `in ${thread.channel.title} · ${person.detail}` : "" })),
      h("span", { class: "side", text: "Customer" }),
      ...tools,
    );
  }

  #bubble(message, texts) {
    const own = ["edit", "delete"];
    const actions = Object.keys(OFFERED).filter((name) => this.#can(OFFERED[name]) && (message.mine || !own.includes(name)));
    return {
      id: message.id,
      right: message.mine,
      author: message.mine ? null : this.thread.channel.accounts[0]?.name,
      time: message.at * 1000,
      text: message.text,
      subject: message.subject || null,
      html: message.html,
      folded: message.quoted ? [{ label: "Quoted", text: message.quoted }] : [],
      files: message.files.map((file) => ({ ...file, url: file.id ? api.simulatorFileUrl(this.thread.channel.name, file.id, file.name) : null })),
      buttons: message.buttons,
      quote: message.reply_to ? { id: message.reply_to, text: texts.get(message.reply_to) ?? "a message" } : null,
      reactions: message.reactions.map((emoji) => ({ emoji, own: emoji === message.my_reaction })),
      state: message.mine && message.read ? "read" : null,
      edited: message.edited,
      deleted: message.deleted,
      hints: message.deleted && message.mine && this.thread.channel.untold.delete ? [this.thread.channel.untold.delete] : [],
      problems: [],
      actions: message.deleted ? [] : actions,
    };
  }

  async #do(action, fields, file) {
    const { channel, person } = this.thread;
    try {
      await api.act(channel.name, person.id, action, fields, file);
    } finally {
      this.refresh();
    }
  }

  async #send({ text, files, replyTo, edit }) {
    if (edit) return this.#do("edit", { message_id: edit.id, text });
    const reply = { reply_to: replyTo?.id ?? null, ...(this.thread.channel.subjects ? this.mail.take() : {}) };
    if (!files.length) return this.#do("write", { text, ...reply });
    for (const [index, file] of files.entries()) await this.#do("write", { text: index ? "" : text, ...reply }, file);
  }

  #deed(name, data, argument) {
    if (name === "react") return this.#do("react", { message_id: data.id, emoji: argument });
    if (name === "press") return this.#do("press", { message_id: data.id, data: argument.data, title: argument.title });
    return this.#do(name, { message_id: data.id });
  }

  async #start() {
    const payload = await ask("Press Start", "Payload of the deep link, or nothing", "Start");
    if (payload !== null) await this.#do("start", { payload }).catch((problem) => toast(problem.message));
  }
}
