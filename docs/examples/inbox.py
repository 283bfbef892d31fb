"""An inbox: shows what contacts write, answers each text once, and shows what becomes of the answers.

pip install aiokafka; python inbox.py 127.0.0.1:9092 telegram whatsapp
"""

import asyncio
import json
import sys
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

RANK = {"deferred": 0, "accepted": 10, "uncertain": 20, "rejected": 25, "expired": 25, "cancelled": 25, "sent": 30,
        "done": 32, "failed": 35, "delivered": 40, "read": 50, "played": 60}  # fmt: skip
seen, states = set(), {}  # an inbox keeps both in its database, and a memory of the last days is enough


def answer(message, text):
    ids = {name: message[name] for name in ("workspace_id", "account_id", "conversation_id")}
    command = {"command_id": f"answer-{message['message_id']}", **ids, "content": {"kind": "text", "text": text}}
    now = datetime.now(UTC).isoformat()
    attributes = {"specversion": "1.0", "id": command["command_id"], "type": "channels.message.send.v1",
                  "source": "/inbox", "subject": command["conversation_id"], "time": now}  # fmt: skip
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    return json.dumps(command).encode(), command["conversation_id"].encode(), headers


async def main(bootstrap, *channels):
    topics = [f"channels.{channel}.{name}" for channel in channels for name in ("inbound", "statuses")]
    reading = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "session_timeout_ms": 6000}
    async with (
        AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, group_id="inbox", **reading) as consumer,
        AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer,
    ):
        async for record in consumer:
            event, data = {name: value.decode() for name, value in record.headers}, json.loads(record.value)
            if event["ce_id"] in seen:
                continue  # at least once: the same fact has the same id
            if event["ce_type"] == "channels.message.received.v1":
                print(data["sender"].get("display_name", "Somebody"), "wrote:", data["content"]["text"], flush=True)
                if data["content"]["kind"] == "text" and not data["backfill"]:
                    value, key, headers = answer(data, f"You wrote: {data['content']['text']}")
                    topic = record.topic.replace("inbound", "outbound")
                    await producer.send_and_wait(topic, value, key, headers=headers)
            elif event["ce_type"] == "channels.message.status.v1" and "command_id" in data:
                part = data["command_id"], data["part"]["index"]
                if RANK.get(data["state"], -1) > RANK.get(states.get(part), -1):
                    states[part] = data["state"]
                    print(*part, "is", data["state"], data.get("error", {}).get("detail", ""), flush=True)
            seen.add(event["ce_id"])
            await consumer.commit()


asyncio.run(main(*sys.argv[1:]))
