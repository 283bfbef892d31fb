// The agent's side: the conversation as Kafka tells it, and commands onto the outbound topic.

import * as api from "./api.js";
import { framed, h, iconButton, moment, toast } from "./dom.js";
import { described, ENDED } from "./inbox.js";
import { MailLines } from "./mail.js";
import { ChatPane } from "./pane.js";
import { Standing } from "./standing.js";
import { pickTemplate } from "./templates.js";

const TYPING_STOPS = 4_000; // ms without a key
const TYPING_AGAIN = 30_000; // ms until the inbox says again that the agent still types
const KINDS = { image: "image", sticker: "image", video: "video", video_note: "video", audio: "audio", voice: "audio" };

export class Agent {
  /** `errors`: sentences by code. `showWay(conversation, message)` hears of whose way somebody wants to see. */
  constructor(root, errors, showWay) {
    this.thread = null;
    this.showWay = showWay;
    this.typingSince = 0;
    this.keyboard = h("input", { type: "text", class: "keyboard-line", hidden: true, "aria-label": "Buttons: titles separated by |, a link as Title=https://…", placeholder: "Yes | No | Shop=https://example.com" });
    const toggle = iconButton("buttons", "Add buttons", () => {
      this.keyboard.hidden = !this.keyboard.hidden;
      (this.keyboard.hidden ? this.pane : this.keyboard).focus();
    });
    this.mail = new MailLines("Agent", "Subject: that of the thread");
    this.pane = new ChatPane(root, {
      name: "Agent",
      placeholder: "Answer as the agent",
      tools: [toggle, this.mail.toggle],
      send: (draft) => this.#send(draft),
      act: (name, data, argument) => this.#deed(name, data, argument),
      typing: (active) => this.#type(active),
    });
    this.pane.composer.insertBefore(this.keyboard, this.pane.composer.lastChild);
    this.pane.composer.insertBefore(this.mail.root, this.keyboard);
    this.standing = new Standing(errors, () => this.#pickTemplate());
    this.pane.composer.prepend(this.standing.root);
    this.draw = framed(() => this.#draw());
    setInterval(() => this.#stand(), 1_000);
  }

  select(thread) {
    if (thread?.key !== this.thread?.key) {
      this.#type(false);
      this.pane.reset();
      this.keyboard.value = "";
      this.mail.clear();
    }
    this.thread = thread;
    this.mail.show(thread?.channel.subjects ?? false);
    this.draw();
  }

  get conversation() {
    return this.thread?.conversation ?? null;
  }

  #draw() {
    const { conversation, thread } = this;
    this.#drawHead();
    const shown = conversation ? [...conversation.messages.values()].sort((a, b) => a.at - b.at) : [];
    const empty = thread ? "Nothing has reached Kafka yet." : "Choose a conversation.";
    this.pane.show(shown.map((message) => (message.notice ? message : this.#bubble(message))), false, empty);
    this.#stand();
  }

  /** What the conversation takes now; asked again every second, because a window closes by itself. */
  #stand() {
    const reason = this.standing.show(this.conversation, this.thread?.channel ?? null);
    this.pane.enable(reason);
  }

  #drawHead() {
    const { conversation, thread } = this;
    const tools = conversation ? [iconButton("read", "Mark as read", () => this.#command("conversation.mark_read", {}))] : [];
    const blocked = conversation?.blocked ? "blocked by the contact · " : "";
    this.pane.header.replaceChildren(
      h("div", { class: "who" },
        h("h2", { text: thread ? thread.title : "Agent" }),
        h("p", { text: conversation ? blocked + conversation.id : "" })),
      h("span", { class: "side", text: "Agent" }),
      ...tools,
    );
  }

  #bubble(message) {
    const quoted = message.replyTo && this.conversation.find(message.replyTo.message_id, message.replyTo.provider_message_id);
    const quoteText = quoted?.content?.text || message.replyTo?.quote?.text || "a message";
    return {
      id: message.id,
      right: message.ours,
      author: message.author ?? (message.ours ? null : this.thread.title),
      time: message.time,
      text: textOf(message.content),
      subject: message.content?.subject ?? null,
      html: message.content?.html ?? null,
      folded: foldedOf(message.content),
      files: (message.content?.attachments ?? []).map(fileOf),
      buttons: buttonsOf(message.content),
      quote: message.replyTo ? { id: quoted?.id ?? "", text: quoteText } : null,
      forwarded: message.forwarded ? `Forwarded${message.forwarded.author ? ` from ${message.forwarded.author}` : ""}` : null,
      reactions: message.reactions.map(({ by, emoji }) => ({ emoji, own: by === "us" })),
      state: message.ours ? message.state : null,
      edited: message.edited ?? false,
      deleted: message.deleted ?? false,
      hints: [
        ...(message.referral ? [`Came by ${described(message.referral)}`] : []),
        ...(message.of > 1 ? [partsOf(message)] : []),
        ...(message.until ? [`Waits until ${moment(message.until)}`] : []),
        ...(message.warnings ?? []),
      ],
      problems: message.problems,
      again: againOf(message),
      actions: this.#actions(message),
    };
  }

  /** What the state feed says this conversation allows; the connector has the last word anyway. */
  #actions(message) {
    if (message.deleted) return ["way"];
    const allowed = this.conversation.state?.allowed;
    const sent = !message.ours || message.messageId;
    return [
      sent && (allowed?.reply_to ?? true) && "reply",
      sent && (allowed?.reaction ?? true) && "react",
      message.ours && message.messageId && (allowed?.edit ?? true) && "edit",
      message.ours && message.messageId && (allowed?.delete ?? true) && "delete",
      "way",
    ].filter(Boolean);
  }

  #command(type, fields) {
    const { conversation } = this;
    const where = { account_id: conversation.account, conversation_id: conversation.id };
    return api.command(conversation.channel, type, { ...where, ...fields });
  }

  async #send({ text, files, replyTo, edit }) {
    if (edit) {
      const before = this.conversation.messages.get(edit.id).content; // files and buttons stay
      return this.#command("message.edit", { message_id: this.#idOf(edit), content: { ...before, text } });
    }
    const attachments = await Promise.all(files.map(api.storeFile));
    const buttons = parseButtons(this.keyboard.value);
    this.keyboard.value = "";
    this.keyboard.hidden = true;
    const kind = this.thread.channel.subjects && !buttons.length ? "email" : attachments.length ? "media" : "text";
    const content = kind === "email" ? { kind, text, ...this.mail.take() } : { kind, text, buttons };
    if (attachments.length) content.attachments = attachments;
    const reply_to = replyTo ? { message_id: this.#idOf(replyTo) } : undefined;
    await this.#command("message.send", { content, reply_to });
  }

  #deed(name, data, argument) {
    const message = this.conversation.messages.get(data.id);
    if (name === "way") return this.showWay(this.conversation, message);
    if (name === "again") return this.#again(message);
    const message_id = this.#idOf(data);
    if (name === "react") return this.#command("reaction.set", { message_id, emoji: argument || undefined });
    return this.#command("message.delete", { message_id });
  }

  /** In doubt, only the parts in doubt are sent again; else the message is, as a new one. */
  #again(message) {
    if (message.state === "uncertain") return this.#command("message.resend", { resend_command_id: message.id });
    return this.#command("message.send", { content: message.content, reply_to: message.replyTo ?? undefined });
  }

  async #pickTemplate() {
    const content = await pickTemplate(this.conversation);
    if (content) await this.#command("message.send", { content }).catch((problem) => toast(problem.message));
  }

  #idOf(data) {
    return this.conversation.messages.get(data.id)?.messageId ?? data.id;
  }

  #type(active) {
    clearTimeout(this.typingTimer);
    if (!this.conversation) return;
    if (active) this.typingTimer = setTimeout(() => this.#type(false), TYPING_STOPS);
    const now = Date.now();
    if (active && now - this.typingSince > TYPING_AGAIN) {
      this.typingSince = now;
      this.#command("typing.start", {}).catch(() => {});
    } else if (!active && this.typingSince) {
      this.typingSince = 0;
      this.#command("typing.stop", {}).catch(() => {});
    }
  }
}

function partsOf(message) {
  return message.state === "partly sent" ? `${message.arrived} of ${message.of} parts have arrived` : `Sent in ${message.of} parts`;
}

/** What the button says that sends a message again; null where there is nothing to send again. */
function againOf(message) {
  if (!message.ours || message.deleted) return null;
  if (message.state === "uncertain") return "Send again, although it may have arrived";
  if (message.state === "partly sent") return "Send all of it again";
  return ENDED.has(message.state) ? "Send again" : null;
}

function textOf(content) {
  if (!content) return "";
  const place = content.location;
  if (place && !content.text) return `📍 ${place.latitude}, ${place.longitude}`;
  return content.text ?? "";
}

/** Parts of a mail that are shown when somebody asks for them. */
function foldedOf(content) {
  const parts = [["Signature", content?.signature], ["Quoted", content?.quoted_text]];
  return parts.filter(([, text]) => text).map(([label, text]) => ({ label, text }));
}

function fileOf(file) {
  const claimed = file.mime_type ?? file.claimed_mime_type ?? "";
  const kind = KINDS[file.kind] ?? (["image", "video", "audio"].find((family) => claimed.startsWith(`${family}/`)) || "file");
  const name = file.filename ?? file.kind ?? "file";
  const there = file.blob && (file.status ?? "stored") === "stored";
  const status = file.status === "pending" ? "arriving …" : file.status === "failed" ? (file.error?.detail ?? "could not be fetched") : null;
  return { kind, name, size: file.size ?? null, url: there ? api.blobUrl(file.blob, name) : (file.url ?? null), status };
}

function buttonsOf(content) {
  const rows = content?.buttons ?? [];
  return rows.map((row) => [row].flat().map((button) => ({ title: button.title, url: button.url ?? null })));
}

/** `Yes | No | Shop=https://…` → rows of one button each. */
function parseButtons(line) {
  const titles = line.split("|").map((title) => title.trim()).filter(Boolean);
  return titles.map((title, index) => {
    const link = title.match(/^(.+?)=(https?:\/\/.+)$/);
    return [link ? { kind: "url", title: link[1].trim(), url: link[2] } : { kind: "reply", title, id: `b${index + 1}` }];
  });
}
