// A step as something to run elsewhere: Python (aiokafka), kcat, curl.

/** Texts by tool for a step of `way.js`; `world` as the server describes it, `channel` of it. */
export function asCode(step, world, channel) {
  if (step.call) return { curl: `curl -s ${quoted(`${channel.simulator}/_sim/calls?call=${encodeURIComponent(step.call.call)}&limit=10`)}` };
  const { record } = step;
  if (step.what !== "command") return { Python: readByPython(record, world), kcat: readByKcat(record, world) };
  const type = record.type.replace(/^channels\./, "").replace(/\.v\d+$/, "");
  const asked = quoted(JSON.stringify({ type, data: record.value }));
  return {
    Python: writeByPython(record, world),
    kcat: writeByKcat(record, world),
    curl: `curl -s ${quoted(`${channel.service}/v1/preflight`)} -d ${asked}`,
  };
}

/** For a shell: nothing in it means anything. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** For Python: what JSON writes for a text means the same there. */
const literal = (text) => JSON.stringify(text);

const program = (names, lines) => `import asyncio

from aiokafka import ${names}


async def main():
${lines.map((line) => `    ${line}`).join("\n")}


asyncio.run(main())
`;

function writeByPython(record, world) {
  const headers = Object.entries(record.headers).map(([name, value]) => `(${literal(name)}, ${literal(value)}.encode())`);
  return program("AIOKafkaProducer", [
    `async with AIOKafkaProducer(bootstrap_servers=${literal(world.kafka)}, acks="all") as producer:`,
    `    value = ${literal(JSON.stringify(record.value))}.encode()`,
    `    headers = [${headers.join(", ")}]`,
    `    await producer.send_and_wait(${literal(record.topic)}, value, key=${literal(record.key)}.encode(), headers=headers)`,
  ]);
}

function readByPython(record, world) {
  return program("AIOKafkaConsumer, TopicPartition", [
    `async with AIOKafkaConsumer(bootstrap_servers=${literal(world.kafka)}) as consumer:`,
    `    place = TopicPartition(${literal(record.topic)}, ${record.partition})`,
    "    consumer.assign([place])",
    `    consumer.seek(place, ${record.offset})`,
    "    record = await consumer.getone()",
    "    print(record.headers, record.key, record.value)",
  ]);
}

function writeByKcat(record, world) {
  const headers = Object.entries(record.headers).map(([name, value]) => `-H ${quoted(`${name}=${value}`)}`);
  // kcat takes a record a line, and what it reads is the value when no delimiter of keys is named.
  return `printf '%s' ${quoted(JSON.stringify(record.value))} | kcat -P -b ${world.kafka} -t ${record.topic} -k ${quoted(record.key)} ${headers.join(" ")}`;
}

const readByKcat = (record, world) =>
  `kcat -C -b ${world.kafka} -t ${record.topic} -p ${record.partition} -o ${record.offset} -c 1 -f '%h\\n%k\\n%s\\n'`;
