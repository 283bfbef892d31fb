// The left side: the people of every channel and the conversations they have.

import * as api from "./api.js";
import { ask, clock, framed, h, hue, icon, initials, reconcile, toast } from "./dom.js";

export class Threads {
  /** `choose(thread)` hears of what is selected, whenever that may have changed; `picked()` of somebody's choice. */
  constructor(root, inbox, choose, picked) {
    this.root = root;
    this.inbox = inbox;
    this.choose = choose;
    this.picked = picked;
    this.channels = [];
    this.selected = null;
    this.draw = framed(() => this.#draw());
    root.addEventListener("keydown", (event) => this.#key(event));
  }

  setChannels(channels) {
    this.channels = channels.map((channel) => ({ ...channel, people: [] }));
  }

  channel(name) {
    return this.channels.find((channel) => channel.name === name);
  }

  /** Ask for the people of a channel anew. */
  async refresh(name) {
    const channel = this.channel(name);
    if (!channel?.actions) return;
    channel.people = await api.getPeople(name);
    this.draw();
  }

  /** Everybody to talk to: simulated people, then conversations that only Kafka knows. */
  list(channel) {
    const conversations = [...this.inbox.conversations.values()].filter((one) => one.channel === channel.name);
    const taken = new Set();
    const people = channel.people.map((person) => {
      const conversation = conversations.find((one) => person.peers.includes(one.peer)) ?? null;
      if (conversation) taken.add(conversation.id);
      return { key: `${channel.name}/${person.id}`, channel, person, conversation, title: person.name };
    });
    const others = conversations.filter((one) => !taken.has(one.id)).sort((a, b) => b.at - a.at);
    return [
      ...people,
      ...others.map((conversation) => ({ key: conversation.id, channel, person: null, conversation, title: conversation.title ?? conversation.peer })),
    ];
  }

  #all() {
    return this.channels.flatMap((channel) => this.list(channel));
  }

  /** The selected thread as it is now; the first one when nothing was selected. */
  current() {
    const all = this.#all();
    return all.find((thread) => thread.key === this.selected) ?? all[0] ?? null;
  }

  focus() {
    this.root.querySelector("[aria-current=true]")?.focus();
  }

  #draw() {
    const current = this.current();
    if (current && current.key !== this.selected) this.selected = current.key;
    if (current?.conversation && document.visibilityState === "visible") current.conversation.unread = 0;
    this.choose(current);
    const focused = this.root.contains(document.activeElement);
    reconcile(this.root, this.channels.map((channel) => this.#group(channel)), (group) => group.name, (group) => this.#section(group));
    if (focused && !this.root.contains(document.activeElement)) this.focus(); // its button was drawn anew
  }

  #group(channel) {
    return {
      name: channel.name,
      title: channel.title,
      colour: channel.colour,
      canAdd: Boolean(channel.actions),
      real: !channel.actions,
      troubles: channel.accounts.map((account) => this.inbox.troubles.get(account.id)).filter(Boolean),
      threads: this.list(channel).map(({ key, title, conversation }) => ({
        key,
        title,
        selected: key === this.selected,
        unread: key === this.selected ? 0 : (conversation?.unread ?? 0),
        preview: preview(conversation),
        at: conversation?.at ?? 0,
      })),
    };
  }

  #section(group) {
    const add = group.canAdd
      ? h("button", { type: "button", class: "icon", title: "Add a customer", "aria-label": `Add a customer to ${group.title}`, on: { click: () => this.#add(group) } }, icon("add"))
      : null;
    const empty = group.real ? h("p", { class: "hint", text: "Real conversations appear here when somebody writes." }) : null;
    return h(
      "section",
      { style: { "--channel": group.colour }, "aria-label": group.title },
      h("h2", {}, h("span", { class: "dot" }), group.title, group.real ? h("span", { class: "pill", text: "real" }) : null, add),
      group.troubles.map((text) => h("p", { class: "problem", role: "status", text })),
      h("ul", {}, group.threads.map((thread) => h("li", {}, this.#entry(thread)))),
      group.threads.length ? null : empty,
    );
  }

  #entry(thread) {
    return h(
      "button",
      { type: "button", class: "thread", "aria-current": String(thread.selected), on: { click: () => this.#pick(thread.key) } },
      h("span", { class: "avatar", style: { "--hue": hue(thread.title) }, "aria-hidden": "true", text: initials(thread.title) }),
      h("span", { class: "title", text: thread.title }),
      h("time", { text: thread.at ? clock(thread.at) : "" }),
      h("span", { class: "preview", text: thread.preview }),
      thread.unread ? h("span", { class: "badge", "aria-label": `${thread.unread} unread`, text: thread.unread }) : null,
    );
  }

  #select(key) {
    this.selected = key;
    this.#draw();
    this.focus();
  }

  #pick(key) {
    this.#select(key);
    this.picked();
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const all = this.#all();
    const at = all.findIndex((thread) => thread.key === this.selected);
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    event.preventDefault();
    if (next) this.#select(next.key);
  }

  async #add(group) {
    const name = (await ask(`A new customer on ${group.title}`, "Name", "Add"))?.trim();
    if (!name) return;
    try {
      const channel = this.channel(group.name);
      channel.people = await api.addPerson(group.name, name);
      this.#pick(`${group.name}/${channel.people.at(-1).id}`);
    } catch (problem) {
      toast(problem.message);
    }
  }
}

function preview(conversation) {
  const last = conversation?.last;
  if (!last) return "no messages yet";
  const file = last.content?.attachments?.[0];
  const words = last.deleted ? "deleted" : last.content?.text || (file ? (file.filename ?? file.kind ?? "file") : (last.content?.kind ?? ""));
  return (last.ours ? "You: " : "") + words;
}
