/** An inbox: shows what contacts write, answers each text once, and shows what becomes of the answers.
 *
 * npm install kafkajs typescript @types/node && npx tsc && node inbox.js 127.0.0.1:9092 telegram whatsapp
 */
import { Kafka, Partitioners, logLevel, type EachMessagePayload } from "kafkajs";

const RANK: Record<string, number> = { deferred: 0, accepted: 10, uncertain: 20, rejected: 25, expired: 25, cancelled: 25,
  sent: 30, done: 32, failed: 35, delivered: 40, read: 50, played: 60 };
const seen = new Set<string>(); // an inbox keeps both in its database, and a memory of the last days is enough
const states = new Map<string, string>();

const [bootstrap = "127.0.0.1:9092", ...channels] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "inbox", brokers: bootstrap.split(","), logLevel: logLevel.ERROR });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
const consumer = kafka.consumer({ groupId: "inbox-ts", sessionTimeout: 6000, heartbeatInterval: 1000 });

async function answer(topic: string, message: any, text: string): Promise<void> {
  const { workspace_id, account_id, conversation_id } = message;
  const command_id = `answer-${message.message_id}`;
  const value = JSON.stringify({ command_id, workspace_id, account_id, conversation_id, content: { kind: "text", text } });
  const headers = { ce_specversion: "1.0", ce_id: command_id, ce_type: "channels.message.send.v1", ce_source: "/inbox",
    ce_subject: conversation_id, ce_time: new Date().toISOString() };
  await producer.send({ topic, acks: -1, messages: [{ key: conversation_id, value, headers }] });
}

async function handle({ topic, message }: EachMessagePayload): Promise<void> {
  const id = `${message.headers?.ce_id}`, type = `${message.headers?.ce_type}`, data = JSON.parse(`${message.value}`);
  if (seen.has(id)) return; // at least once: the same fact has the same id
  if (type === "channels.message.received.v1") {
    console.log(`${data.sender.display_name ?? "Somebody"} wrote: ${data.content.text}`);
    const outbound = topic.replace("inbound", "outbound");
    if (data.content.kind === "text" && !data.backfill) await answer(outbound, data, `You wrote: ${data.content.text}`);
  } else if (type === "channels.message.status.v1" && data.command_id) {
    const part = `${data.command_id} ${data.part.index}`;
    if ((RANK[data.state] ?? -1) > (RANK[states.get(part) ?? ""] ?? -1)) {
      states.set(part, data.state);
      console.log(`${part} is ${data.state} ${data.error?.detail ?? ""}`);
    }
  }
  seen.add(id);
}

const topics = channels.flatMap((channel) => [`channels.${channel}.inbound`, `channels.${channel}.statuses`]);
await Promise.all([producer.connect(), consumer.connect()]);
await consumer.subscribe({ topics, fromBeginning: true });
const stop = () => consumer.disconnect().finally(() => process.exit()); // leaves the group
process.once("SIGINT", stop).once("SIGTERM", stop);
await consumer.run({ eachMessage: handle }); // an offset is committed after its message was handled
