"""The description of the socket and of the Kafka topics: an AsyncAPI 3.0 document.

It is written from seenby's side: what seenby sends is ``send``. Addresses of topics are the
default ones; each says by which setting it has another name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from seenby import __version__, inputs
from seenby.api.descriptions.message_examples import FRAMES, RECORDS
from seenby.api.descriptions.messages import (
    CHAT,
    FROM_CLIENTS,
    RECEIPT,
    SILENT,
    TO_CLIENTS,
    UPDATES,
    Message,
)
from seenby.events import EPOCH, TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Iterable

SUBPROTOCOL = "seenby.v1"
UPDATE = "update_"
"""Before the names of records whose frame is called the same."""

CLOSE_CODES = {
    1013: "The gateway cannot serve this now: reconnect after a pause.",
    4000: "The gateway stops, or a new epoch has begun: reconnect at once.",
    4001: "The token has expired: reconnect with a new one.",
    4002: "Nothing was heard from the client for 90 s: reconnect.",
    4008: "The client reads more slowly than receipts come: reconnect and resume.",
    4400: "Frames that cannot be used, or a silent client has spoken: mend the client.",
    4401: "No token, no hello within 10 s, or a token that does not hold: sign in.",
    4403: "The token is for another user: mend the client.",
    4429: "Over 100 connections of this user to this gateway: close some.",
}
"""What the gateway closes a socket with. From 4400 on: do not reconnect."""

_ABOUT = """\
Read receipts: what the gateway pushes over a WebSocket, and what crosses Kafka.

All ids are printable ASCII characters without spaces; new fields and types may be added, so pass
over what you do not know.
"""

_SOCKET = """\
One JSON object in each text frame, of at most 64 KiB. Nothing is sent before `hello`, which must
come within 10 seconds. Every event comes exactly once in a connection, and over reconnects when
the client says the (epoch, seq) of the last one it has handled.

The gateway closes with a code and the reason in words:

"""

_SILENT = """\
A client that asks for no subprotocol is sent receipts, and nothing else, from the moment of
connecting. With a `device_id` it resumes where the device stood: at least once. A data frame of its
own is answered with close 4400.
"""

_DLQ = "Records that cannot be used, as they were, with the reason in their headers."

_KEY = {"type": "string", "description": "The `sender_id` or `user_id`, in UTF-8."}
_PARTITIONER = (
    "Partition: FNV-1a 32 of the key as a signed number, its absolute value, modulo the number of "
    "partitions (Sarama's HashPartitioner, librdkafka's `fnv1a`)."
)
_HEADERS = {
    "type": "object",
    "properties": {
        EPOCH: {"type": "string", "description": "The epoch in which `seq` counts."},
        TRACEPARENT: {"type": "string", "description": "W3C Trace Context."},
    },
    "required": [EPOCH],
}
_REASON = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "description": "A sentence."},
        "source_topic": {"type": "string"},
        "source_partition": {"type": "string", "pattern": "^[0-9]+$"},
        "source_offset": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "required": ["reason", "source_topic", "source_partition", "source_offset"],
}

PARTITIONS, REPLICAS = 16, 3
RETENTION_MS, DLQ_RETENTION_MS = 3_600_000, 604_800_000


def document(gateway_url: str) -> dict[str, Any]:
    """The whole description of a seenby whose sockets connect at *gateway_url*."""
    gateway = urlsplit(gateway_url)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "seenby",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": gateway.netloc,
                "protocol": gateway.scheme,
                "description": "Where sockets connect.",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            },
            "kafka": {
                "host": "{brokers}",
                "protocol": "kafka",
                "description": "Where there is one: `KAFKA_BROKERS`.",
                "variables": {"brokers": {"default": "localhost:9092"}},
            },
        },
        "channels": {**_sockets(gateway.path), **_topics()},
        "operations": {**_socket_operations(), **_topic_operations()},
        "components": {
            "messages": _messages(),
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "With `SEENBY_AUTH=jwt`, in the handshake or in hello.",
                }
            },
        },
    }


# Channels


def _sockets(path: str) -> dict[str, Any]:
    codes = "\n".join(f"- {code}: {text}" for code, text in CLOSE_CODES.items())
    frames = [message.name for message in (*TO_CLIENTS, *FROM_CLIENTS)]
    return {
        "socket": {
            "address": path,
            "title": f"Clients that ask for the subprotocol {SUBPROTOCOL}",
            "description": _SOCKET + codes,
            "servers": [{"$ref": "#/servers/gateway"}],
            "messages": _among("components", frames),
            "bindings": {"ws": _handshake(SUBPROTOCOL)},
        },
        "silent_socket": {
            "address": path,
            "title": "Silent clients",
            "description": _SILENT,
            "servers": [{"$ref": "#/servers/gateway"}],
            "messages": _among("components", SILENT),
            "bindings": {"ws": _handshake(None)},
        },
    }


def _handshake(subprotocol: str | None) -> dict[str, Any]:
    [user_id, device_id], _ = msgspec.json.schema_components([inputs.UserId, inputs.DeviceId])
    headers: dict[str, Any] = {
        "Authorization": {"type": "string", "description": "`Bearer` and the token."}
    }
    if subprotocol is not None:
        headers["Sec-WebSocket-Protocol"] = {"type": "string", "const": subprotocol}
    query = {
        "user_id": {**user_id, "description": "Needed where the token names no user."},
        "device_id": {**device_id, "description": "A device whose position is kept."},
        "part": {"type": "string", "description": "Advice to a load balancer."},
    }
    return {
        "method": "GET",
        "query": {"type": "object", "properties": query},
        "headers": {
            "type": "object",
            "properties": headers,
            "required": [name for name in headers if name != "Authorization"],
        },
        "bindingVersion": "0.1.0",
    }


def _topics() -> dict[str, Any]:
    updates = [UPDATE + message.name for message in UPDATES]
    receipts, chat = "read_receipt_events", "group_msg"
    return {
        "receipts": _topic(receipts, "One record for each receipt.", [RECEIPT.name])
        | {"summary": "Named by `READ_RECEIPT_TOPIC` and `KAFKA_READ_RECEIPT_TOPIC`."},
        "updates": _topic("read_receipt_updates", "One record for each other event.", updates)
        | {"summary": "Named by `READ_RECEIPT_UPDATES_TOPIC`."},
        "receipts_dlq": _letters(f"{receipts}.dlq"),
        "updates_dlq": _letters("read_receipt_updates.dlq"),
        "chat": {
            "address": chat,
            "title": "Messages of the chat",
            "summary": "Named by `KAFKA_GROUP_MSG_TOPIC`. The chat's backend makes it.",
            "description": "Each record registers a message; the key should be the conversation.",
            "servers": [{"$ref": "#/servers/kafka"}],
            "messages": _among("components", [CHAT.name]),
        },
        "chat_dlq": _letters(f"{chat}.dlq"),
    }


def _topic(address: str, title: str, names: Iterable[str]) -> dict[str, Any]:
    return {
        "address": address,
        "title": title,
        "description": f"The key is the user whose devices are told. {_PARTITIONER}",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": _among("components", names),
        "bindings": {"kafka": _layout(PARTITIONS, RETENTION_MS)},
    }


def _letters(address: str) -> dict[str, Any]:
    return {
        "address": address,
        "title": f"Dead letters: {address}",
        "description": _DLQ,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": _among("components", ["dead_letter"]),
        "bindings": {"kafka": _layout(1, DLQ_RETENTION_MS)},
    }


def _layout(partitions: int, retention_ms: int) -> dict[str, Any]:
    return {
        "partitions": partitions,
        "replicas": REPLICAS,
        "topicConfiguration": {"retention.ms": retention_ms},
        "bindingVersion": "0.5.0",
    }


# Operations


def _socket_operations() -> dict[str, Any]:
    answers = {"hello": ["welcome", "reset"], "read": ["read_result"], "ping": ["pong"]}
    replies = [name for names in answers.values() for name in names]
    pushed = [message.name for message in TO_CLIENTS if message.name not in replies]
    operations = {
        "push": _operation("send", "socket", [*pushed, "reset"], "Pushes events, in order."),
        "push_to_silent": _operation("send", "silent_socket", SILENT, "Pushes receipts."),
    }
    for message in FROM_CLIENTS:
        asked = _operation("receive", "socket", [message.name], message.summary)
        if message.name in answers:
            found = _among("channels/socket", answers[message.name])
            asked["reply"] = {
                "channel": {"$ref": "#/channels/socket"},
                "messages": list(found.values()),
            }
        operations[message.name] = asked
    return operations


def _topic_operations() -> dict[str, Any]:
    updates = [UPDATE + message.name for message in UPDATES]
    letters = ["dead_letter"]
    return {
        "publish_receipts": _operation(
            "send", "receipts", [RECEIPT.name], "acks=all, idempotent, snappy."
        ),
        "publish_updates": _operation("send", "updates", updates, "The same for other events."),
        "consume_receipts": _operation(
            "receive", "receipts", [RECEIPT.name], "Gateways, without a consumer group."
        ),
        "consume_updates": _operation("receive", "updates", updates, "The same."),
        "register_messages": _operation(
            "receive", "chat", [CHAT.name], "As the consumer group `KAFKA_GROUP_ID`."
        ),
        **{
            f"bury_{name}": _operation("send", f"{name}_dlq", letters, "What cannot be used.")
            for name in ("receipts", "updates", "chat")
        },
    }


def _operation(action: str, channel: str, names: Iterable[str], summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": list(_among(f"channels/{channel}", names).values()),
    }


def _among(place: str, names: Iterable[str]) -> dict[str, Any]:
    """References to messages of that place, by name."""
    return {name: {"$ref": f"#/{place}/messages/{name}"} for name in names}


# Messages


def _messages() -> dict[str, Any]:
    frames = {
        message.name: _message(message, message.name, FRAMES.get(message.name, []))
        for message in (*TO_CLIENTS, *FROM_CLIENTS)
    }
    records = {
        name: _message(message, name, RECORDS.get(name, []))
        | {"headers": _HEADERS, "bindings": {"kafka": {"key": _KEY, "bindingVersion": "0.5.0"}}}
        for name, message in _records().items()
    }
    return {
        **frames,
        **records,
        CHAT.name: _message(CHAT, CHAT.name, RECORDS[CHAT.name]),
        "dead_letter": {
            "name": "dead_letter",
            "summary": _DLQ,
            "contentType": "application/octet-stream",
            "headers": _REASON,
            "payload": {"description": "As it was."},
        },
    }


def _message(message: Message, name: str, examples: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": message.name,
        "summary": message.summary,
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "examples": [{"payload": example} for example in examples],
    }


def _records() -> dict[str, Message]:
    return {RECEIPT.name: RECEIPT, **{UPDATE + message.name: message for message in UPDATES}}


def _schemas() -> dict[str, Any]:
    _, found = msgspec.json.schema_components(
        [inputs.PublicReceipt], ref_template="#/components/schemas/{name}"
    )
    schemas: dict[str, Any] = {**found, CHAT.name: CHAT.schema}
    schemas |= {message.name: message.schema for message in (*TO_CLIENTS, *FROM_CLIENTS)}
    schemas |= {name: message.schema for name, message in _records().items()}
    return schemas
