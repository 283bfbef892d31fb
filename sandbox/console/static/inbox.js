// What an inbox knows from Kafka alone: conversations projected from inbound, outbound, statuses and state records.

const MESSAGES_KEPT = 200;
const CONVERSATIONS_KEPT = 500;
const PROGRESS = ["queued", "deferred", "accepted", "uncertain", "sent", "done", "delivered", "read", "played"];
const DONE = new Set(["done", "sent", "delivered", "read", "played"]);
export const ENDED = new Set(["failed", "rejected", "expired", "cancelled"]);

class Conversation {
  constructor(id, channel, account) {
    this.id = id;
    this.channel = channel;
    this.account = account;
    this.title = null;
    this.state = null;
    this.blocked = false;
    this.at = 0;
    this.unread = 0;
    this.messages = new Map(); // by our id, or by command id for what the agent sent
    this.ids = new Map(); // message_id or provider's id → key in `messages`
    this.changes = new Map(); // command id → an edit, deletion or reaction under way
  }

  get peer() {
    return this.id.split(":").slice(2).join(":");
  }

  get last() {
    return [...this.messages.values()].filter((message) => !message.notice).at(-1) ?? null;
  }

  find(...ids) {
    for (const id of ids) {
      const found = id && (this.messages.get(id) ?? this.messages.get(this.ids.get(id)));
      if (found) return found;
    }
    return null;
  }

  put(message) {
    this.messages.set(message.id, { reactions: [], problems: [], parts: {}, ...message });
    this.at = Math.max(this.at, message.at);
    if (this.messages.size > MESSAGES_KEPT) this.messages.delete(this.messages.keys().next().value);
  }

  notice(record, text) {
    this.put({ id: `notice-${record.n}`, notice: true, at: record.at, text });
  }
}

export class Inbox {
  /** `prefix` of the topics. */
  constructor(prefix) {
    this.prefix = prefix;
    this.conversations = new Map();
    this.troubles = new Map(); // account id → what is wrong with it
  }

  /** Channel (null for a shared topic) and short name of a topic. */
  split(topic) {
    const rest = topic.slice(this.prefix.length + 1);
    const dot = rest.indexOf(".");
    return dot < 0 ? [null, rest] : [rest.slice(0, dot), rest.slice(dot + 1)];
  }

  /** Take a record in; returns the conversation it changed, or null. */
  apply(record) {
    const [channel, name] = this.split(record.topic);
    const data = record.value;
    if (name === "account-health") this.#health(record.key, data);
    if (!channel || !data || typeof data !== "object" || !data.conversation_id) return null;
    const kind = record.type.replace(/^channels\./, "").replace(/\.v\d+$/, "");
    const handler = { inbound: EVENTS[kind], outbound: COMMANDS[kind], statuses: takeStatus, state: takeState }[name];
    if (!handler) return null;
    const conversation = this.#conversation(channel, data);
    handler(conversation, data, record);
    return conversation;
  }

  #health(account, data) {
    this.troubles.delete(account);
    if (!data || data.health === "connected") return;
    this.troubles.set(account, [data.health.replaceAll("_", " "), data.detail ?? (data.error && sentence(data.error))].filter(Boolean).join(": "));
  }

  #conversation(channel, data) {
    let found = this.conversations.get(data.conversation_id);
    if (!found) {
      found = new Conversation(data.conversation_id, channel, data.account_id);
      this.conversations.set(found.id, found);
      if (this.conversations.size > CONVERSATIONS_KEPT) this.conversations.delete(this.conversations.keys().next().value);
    }
    return found;
  }
}

// ---------------------------------------------------------------------------------------------------- inbound

function takeMessage(conversation, data, record) {
  const known = conversation.find(data.message_id, data.provider?.message_id);
  if (known) return; // a repeat, or the echo of what the agent sent here
  const ours = data.direction === "outbound";
  if (!ours) conversation.title = data.sender?.display_name ?? conversation.title;
  conversation.put({
    id: data.message_id,
    ours,
    origin: data.origin,
    author: ours ? "sent in the app" : data.sender?.display_name,
    at: record.at,
    time: Date.parse(data.occurred_at),
    content: data.content,
    replyTo: data.reply_to ?? null,
    forwarded: data.forwarded ?? null,
    referral: data.referral ?? null,
  });
  if (data.provider?.message_id) conversation.ids.set(data.provider.message_id, data.message_id);
  if (!ours && !data.backfill) conversation.unread += 1;
}

const EVENTS = {
  "message.received": takeMessage,
  "message.echoed": takeMessage,
  "postback.received": takeMessage,
  "message.edited"(conversation, data) {
    const message = conversation.find(data.message_id);
    if (message) Object.assign(message, { content: data.content, edited: true });
  },
  "message.deleted"(conversation, data) {
    const message = conversation.find(data.message_id);
    if (message) message.deleted = true;
  },
  "reaction.changed"(conversation, data) {
    const message = conversation.find(data.message_id);
    if (message) react(message, data.direction === "outbound" ? "us" : "them", data.emoji ?? null, data.action === "added");
  },
  "attachment.stored": takeAttachment,
  "attachment.failed": takeAttachment,
  "contact.updated"(conversation, data, record) {
    conversation.title = data.contact?.display_name ?? conversation.title;
    if (data.added?.length || data.removed?.length) conversation.notice(record, `Contact changed: ${data.reason}`);
  },
  "contact.blocked"(conversation, data, record) {
    conversation.blocked = true;
    conversation.notice(record, data.by === "us" ? "We blocked the contact" : "The contact blocked us");
  },
  "contact.unblocked"(conversation, data, record) {
    conversation.blocked = false;
    conversation.notice(record, "The contact can be reached again");
  },
  "contact.consent_changed"(conversation, data, record) {
    conversation.notice(record, data.consent === "opted_out" ? "Opted out of marketing" : "Opted into marketing");
  },
  "conversation.referred"(conversation, data, record) {
    conversation.notice(record, `Came by ${described(data.referral)}`);
  },
  "conversation.read"() {}, // statuses say it message by message
};

function takeAttachment(conversation, data) {
  const message = conversation.find(data.message_id);
  const list = message?.content?.attachments;
  const at = list?.findIndex((attachment) => attachment.attachment_id === data.attachment.attachment_id) ?? -1;
  if (at >= 0) list[at] = data.attachment;
}

export function described(referral) {
  return [referral.source.replaceAll("_", " "), referral.headline ?? referral.payload ?? referral.id].filter(Boolean).join(": ");
}

function react(message, by, emoji, added) {
  message.reactions = message.reactions.filter((one) => one.by !== by || (emoji !== null && added === false && one.emoji !== emoji));
  if (added && emoji) message.reactions.push({ by, emoji });
}

// --------------------------------------------------------------------------------------------------- outbound

function takeChange(kind) {
  return (conversation, data, record) => {
    conversation.changes.set(data.command_id, { kind, data, at: record.at });
    if (conversation.changes.size > MESSAGES_KEPT) conversation.changes.delete(conversation.changes.keys().next().value);
  };
}

const COMMANDS = {
  "message.send"(conversation, data, record) {
    conversation.put({
      id: data.command_id,
      ours: true,
      origin: data.actor?.kind,
      author: data.actor?.display_name ?? data.actor?.kind,
      at: record.at,
      time: record.at,
      content: data.content,
      replyTo: data.reply_to ?? null,
      state: "queued",
    });
  },
  "message.edit": takeChange("edit"),
  "message.delete": takeChange("delete"),
  "reaction.set": takeChange("reaction"),
  "contact.block": takeChange("block"),
  "contact.unblock": takeChange("unblock"),
  "conversation.mark_read": takeChange("mark read"),
};

// --------------------------------------------------------------------------------------------------- statuses

function takeStatus(conversation, data) {
  const change = conversation.changes.get(data.command_id);
  if (change) {
    takeOutcome(conversation, change, data);
    return;
  }
  const message = conversation.find(data.command_id, data.message_id, data.provider_message_id);
  if (!message) return;
  for (const id of [data.message_id, data.provider_message_id]) {
    if (id && id !== message.id) conversation.ids.set(id, message.id);
  }
  message.messageId ??= data.message_id ?? null;
  const index = data.part?.index ?? 0;
  message.parts[index] = later(message.parts[index], data.state);
  message.of = data.part?.of ?? 1;
  const states = Object.values(message.parts);
  message.arrived = states.filter((state) => DONE.has(state)).length;
  message.state = message.arrived && states.some((state) => ENDED.has(state)) ? "partly sent" : overall(states);
  if (data.error) message.problems = [sentence(data.error)];
  else if (DONE.has(data.state)) message.problems = [];
  message.until = data.state === "deferred" ? (data.until ?? null) : null;
  message.warnings = [...new Set([...(message.warnings ?? []), ...(data.warnings ?? []).map((warning) => warning.detail)])];
}

/** The state that counts of two: a part never goes back, and a receipt outweighs a failure. */
function later(known, state) {
  const received = (one) => PROGRESS.indexOf(one) >= PROGRESS.indexOf("delivered");
  if (known === undefined) return state;
  if (ENDED.has(known)) return known === "failed" && received(state) ? state : known;
  if (ENDED.has(state)) return received(known) ? known : state;
  return PROGRESS.indexOf(state) > PROGRESS.indexOf(known) ? state : known;
}

function overall(states) {
  return states.find((state) => ENDED.has(state)) ?? states.sort((a, b) => PROGRESS.indexOf(a) - PROGRESS.indexOf(b))[0];
}

export function sentence(error) {
  return [error.detail, error.remedy].filter(Boolean).join(" ");
}

function takeOutcome(conversation, change, status) {
  const target = conversation.find(change.data.message_id, change.data.provider_message_id);
  if (ENDED.has(status.state)) {
    const problem = `${change.kind}: ${status.error ? sentence(status.error) : status.state}`;
    if (target) target.problems = [problem];
    else conversation.notice({ n: change.data.command_id, at: change.at }, problem);
  } else if (DONE.has(status.state) && target) {
    if (change.kind === "edit") Object.assign(target, { content: change.data.content, edited: true, problems: [] });
    if (change.kind === "delete") target.deleted = true;
    if (change.kind === "reaction") react(target, "us", change.data.emoji ?? null, Boolean(change.data.emoji));
  }
}

function takeState(conversation, data) {
  conversation.state = data;
  conversation.title ??= data.display_name ?? null;
}
