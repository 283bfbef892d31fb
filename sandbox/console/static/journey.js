// What became of a message: its records among those the page has, and the calls that the provider got meanwhile.

const NAMES = ["message_id", "command_id", "status_id", "provider_message_id"];
const TOLD = { inbound: "event", outbound: "command", statuses: "status" };
const SLACK = 300; // ms by which clocks and the moments at which things are noted differ

/**
 * The steps of a message, first to last: `{what, at, title, record | call}`, `what` one of webhook, raw, event, command,
 * call and status. `names`: ids it is known by; `calls`: what `/calls` answered; `needles`: how the provider calls its
 * contact.
 */
export function journey(records, split, conversation, names, calls, needles) {
  const found = recordsOf(records, split, conversation, names);
  const steps = found.map(([what, record]) => ({ what, at: record.at, title: titleOf(what, record), record }));
  for (const [what, record] of found) {
    const received = Number(record.headers.received_at);
    if (what === "raw" && received) steps.push({ what: "webhook", at: received, title: "Webhook received", record });
  }
  steps.push(...callsBetween(steps, calls, needles));
  return steps.sort((a, b) => a.at - b.at || ORDER.indexOf(a.what) - ORDER.indexOf(b.what));
}

const ORDER = ["webhook", "raw", "event", "command", "call", "status"];

/** Events, commands and statuses that share a name with what is known, and the webhook items they were made of. */
function recordsOf(records, split, conversation, names) {
  const told = [];
  const raw = [];
  for (const record of records) {
    const [where, name] = split(record.topic);
    if (where !== conversation.channel) continue;
    // Only of this conversation: some providers count the messages of each from 1.
    if (TOLD[name] && record.value?.conversation_id === conversation.id) told.push([TOLD[name], record, namesOf(record)]);
    else if (name === "raw") raw.push(record);
  }
  const known = new Set(names);
  const found = new Set();
  for (let before = -1; before < known.size;) {
    before = known.size; // a command's status names its message, and so on
    for (const entry of told) {
      if (found.has(entry) || !entry[2].some((name) => known.has(name))) continue;
      found.add(entry);
      for (const name of entry[2]) known.add(name);
    }
  }
  const chosen = [...found].map(([what, record]) => [what, record]);
  return [...chosen, ...raw.filter((record) => isOf(record, chosen)).map((record) => ["raw", record])];
}

function namesOf({ headers, value }) {
  return [...NAMES.map((name) => value[name]), value.provider?.message_id, headers.ce_id].filter((name) => typeof name === "string");
}

/** Whether an item of a webhook is what one of the records was made of: the same trace, and of many items the same one. */
function isOf(raw, chosen) {
  const mine = chosen.filter(([, record]) => traceOf(record) && traceOf(record) === traceOf(raw));
  const offsets = mine.map(([, record]) => record.value?.sequence).filter(Number.isInteger);
  return mine.length > 0 && (!offsets.length || offsets.includes(raw.offset));
}

const traceOf = (record) => record.headers.traceparent?.slice(3, 35);

/** Calls about the contact from the command on, until it is known what became of it. */
function callsBetween(steps, calls, needles) {
  const commands = steps.filter(({ what }) => what === "command");
  if (!commands.length) return [];
  const from = Math.min(...commands.map(({ at }) => at)) - SLACK;
  const answered = steps.filter(({ what, record }) => what === "status" && !["deferred", "delivered", "read", "played"].includes(record.value.state));
  const until = Math.max(...answered.map(({ at }) => at), ...commands.map(({ at }) => at)) + SLACK;
  return calls.filter((call) => call.at >= from && call.at <= until && !showsTyping(call) && isAbout(call, needles))
    .map((call) => ({ what: "call", at: call.at, title: `${call.call} → ${call.status || "no answer"}`, call }));
}

function isAbout(call, needles) {
  const text = JSON.stringify(call);
  return needles.some((needle) => text.includes(needle));
}

const showsTyping = ({ call, arguments: given }) => call === "sendChatAction" || Boolean(given?.typing_indicator) || given?.message_type === "SENDER_ACTION";

function titleOf(what, { type, value }) {
  const name = type.replace(/^channels\./, "").replace(/\.v\d+$/, "");
  if (what === "raw") return "Item of the webhook";
  if (what !== "status") return name;
  const part = value.part?.of > 1 ? ` (part ${value.part.index + 1} of ${value.part.of})` : "";
  return `${value.state}${part}`;
}
