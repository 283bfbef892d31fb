// A command as JSON, and beside it what the service says would become of it.

import * as api from "./api.js";
import { h, pretty, toast } from "./dom.js";

const PAUSE = 350; // ms without a key before the service is asked
const ADDED = ["command_id", "workspace_id", "actor", "not_after"]; // by the console

const EXAMPLES = {
  "A text": { type: "message.send", content: { kind: "text", text: "Hello" } },
  "Buttons": { type: "message.send", content: { kind: "interactive", interactive: "buttons", text: "Shall we?", buttons: [[{ kind: "reply", id: "yes", title: "Yes" }], [{ kind: "reply", id: "no", title: "No" }]] } },
  "A place": { type: "message.send", content: { kind: "location", location: { latitude: 59.437, longitude: 24.7453, name: "Town hall" } } },
  "A contact": { type: "message.send", content: { kind: "contacts", contacts: [{ name: "Grace Hopper", phones: ["+46701740601"] }] } },
  "A template": { type: "message.send", content: { kind: "template", name: "may_we_help", language: "en" } },
  "Typing": { type: "typing.start" },
  "Mark as read": { type: "conversation.mark_read" },
  "Block": { type: "contact.block" },
  "Unblock": { type: "contact.unblock" },
};

export class CommandEditor {
  constructor(root) {
    this.conversation = null;
    this.channel = null;
    this.asked = 0;
    const choose = h("select", { "aria-label": "Example", on: { change: () => (this.#example(EXAMPLES[choose.value]), (choose.value = "")) } },
      h("option", { value: "", text: "Example …" }), Object.keys(EXAMPLES).map((name) => h("option", { value: name, text: name })));
    this.text = h("textarea", { class: "command-text", spellcheck: "false", "aria-label": "Command as JSON", on: { input: () => this.#later() } });
    this.send = h("button", { type: "submit", class: "primary", text: "Send to Kafka" });
    this.verdict = h("p", { class: "verdict", role: "status" });
    this.answer = h("pre", { tabindex: "0", "aria-label": "What preflight answers" });
    root.replaceChildren(
      h("form", { class: "command", on: { submit: (event) => (event.preventDefault(), this.#send()) } },
        h("div", { class: "command-tools" }, choose, h("span", { class: "grow" }), this.send),
        this.text),
      h("div", { class: "preflight" }, h("h3", { text: "Preflight" }), this.verdict, this.answer),
    );
    this.#say();
  }

  /** The conversation that examples are for; what is being written stays. */
  select(conversation) {
    if (conversation?.id === this.conversation?.id) return;
    this.conversation = conversation;
    if (!conversation) return this.#say();
    const before = this.#read();
    if (!before || before.conversation_id === this.example) this.#example(EXAMPLES["A text"]);
  }

  /** A command of the log, as it was sent, to be changed and sent anew. */
  edit(channel, record) {
    const fields = Object.fromEntries(Object.entries(record.value).filter(([name]) => !ADDED.includes(name)));
    this.#write(channel, { type: record.type.replace(/^channels\./, "").replace(/\.v\d+$/, ""), ...fields });
  }

  #example(example) {
    const { conversation } = this;
    if (!example || !conversation) return;
    const { type, ...content } = example;
    this.example = conversation.id;
    this.#write(conversation.channel, { type, account_id: conversation.account, conversation_id: conversation.id, ...content });
  }

  #write(channel, fields) {
    this.channel = channel;
    this.text.value = JSON.stringify(fields, null, 2);
    this.#ask();
  }

  #read() {
    try {
      const read = JSON.parse(this.text.value);
      return read !== null && typeof read === "object" && !Array.isArray(read) ? read : null;
    } catch {
      return null;
    }
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#ask(), PAUSE);
  }

  async #ask() {
    const command = this.#read();
    const number = (this.asked += 1);
    if (!command) return this.#say();
    const { type = "", ...fields } = command;
    const answer = await api.preflight(this.channel, type, fields).catch((problem) => ({ error: problem.message }));
    if (number === this.asked) this.#say(answer);
  }

  #say(answer = null) {
    this.answer.hidden = answer === null;
    this.answer.replaceChildren(...(answer ? pretty(answer) : []));
    this.verdict.className = `verdict ${answer ? (answer.accepted ? "good" : "bad") : ""}`;
    this.verdict.textContent = answer ? verdictOf(answer) : this.text.value.trim() ? "This is no JSON object." : "Choose a conversation, then an example.";
    this.send.disabled = !this.#read();
  }

  async #send() {
    const { type = "", ...fields } = this.#read();
    try {
      await api.command(this.channel, type, fields);
      toast("It is on its way.");
    } catch (problem) {
      toast(problem.message);
    }
  }
}

function verdictOf(answer) {
  if (answer.accepted) {
    const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
    return `It would be carried out: ${counted(answer.parts, "message")}, ${counted(answer.calls.length, "call")}${answer.waits_for ? `, after waiting (${answer.waits_for.replaceAll("_", " ")})` : ""}.`;
  }
  if (answer.refused) return `It would be refused: ${answer.refused.detail}${answer.refused.remedy ? ` ${answer.refused.remedy}` : ""}`;
  return answer.error?.detail ?? answer.error ?? (answer.unavailable ? `Nobody can say now: ${answer.unavailable} is away.` : "The service did not understand it.");
}
