"""The description of socket and topics is valid, and says what is really sent."""

from __future__ import annotations

import copy
import functools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec
import pytest
from msgspec.structs import fields as fields_of

from seenby import events, inputs
from seenby.api.descriptions import asyncapi
from seenby.api.descriptions.message_examples import FRAMES, RECORDS
from seenby.api.descriptions.messages import (
    CHAT,
    FIELDS,
    FROM_CLIENTS,
    RECEIPT,
    SILENT,
    TO_CLIENTS,
    UPDATES,
)
from seenby.bus import dead_letters, kafka_messages
from seenby.bus.kafka_topics import DEAD_LETTER_RETENTION_MS, RETENTION_MS
from seenby.config import Settings
from seenby.errors import (
    BadEvent,
    BadInput,
    Forbidden,
    StoreUnavailable,
    TokenExpired,
    Unauthenticated,
)
from seenby.gateway import disconnect, frames
from seenby.gateway.disconnect import Disconnect
from seenby.model import SELF_KINDS, Event, Kind, Receipt

if TYPE_CHECKING:
    from seenby.api.descriptions.messages import Message

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "vendor/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
EPOCH = "8d4a05b273e4d059"


@functools.cache
def document() -> dict[str, Any]:
    """The description of a seenby at some address."""
    return asyncapi.document("wss://chat.example.com/ws")


@functools.cache
def strictly(name: str) -> jsonschema_rs.Draft202012Validator:
    """A check of one message, in which no other field may be than those described."""
    components = copy.deepcopy(document()["components"])
    for schema in components["schemas"].values():
        schema["additionalProperties"] = False
    payload = components["messages"][name]["payload"]
    return jsonschema_rs.Draft202012Validator({**payload, "components": components})


def faults(name: str, text: bytes) -> list[str]:
    """In what a message is not as it is described."""
    return [str(fault) for fault in strictly(name).iter_errors(json.loads(text))]


def event(kind: Kind, *, count: int | None = None, of: int | None = None, seq: int = 7) -> Event:
    """An event with everything that one of its kind can have."""
    at = 1_704_067_200_000
    reader = "bob" if kind in {Kind.RECEIPT, Kind.WITHDRAWN} else ""
    return Event("ann", seq, "m1", reader, "c1", at, at, "phone", "", kind, count, of)


COUNTED = [(None, None), (3, None), (3, 10)]
EVENTS = [
    event(kind, count=count, of=of, seq=seq)
    for kind in Kind
    for count, of in COUNTED
    for seq in (0, 7)
    # Of how many a message was sent to is the sender's to know.
    if of is None or kind not in SELF_KINDS
]

A_RECEIPT = inputs.receipt_json(
    Receipt(1, "m1", "bob", "ann", "c1", "group", 1_704_067_200_000, "")
)

ANSWERS: dict[str, list[bytes]] = {
    "welcome": [frames.welcome(user_id="ann", device_id="", epoch=EPOCH, seq=2, resumed=True)],
    "reset": [frames.reset(epoch=EPOCH, seq=2)],
    "error": [frames.error("bad_request", "seq must be at most the head")],
    "pong": [frames.PONG],
    "read_result": [
        *(frames.read_done(ref, A_RECEIPT) for ref in ("r1", 1, None)),
        frames.read_refused("r2", "own_message", "no"),
    ],
    "read_receipts": [frames.batch([frames.receipt(event(Kind.RECEIPT), 1_704_067_205)] * 2)],
}


def described(message: Message) -> tuple[set[str], set[str]]:
    """The fields of a message that are always there, and those that may be."""
    return set(message.fields.split()), {*message.more.split(), *message.own}


def written(*kinds: type[msgspec.Struct]) -> tuple[set[str], set[str]]:
    """The same of the structs that are written: what may be unset or None is left out then."""
    every = [{field.name: field for field in fields_of(kind)} for kind in kinds]
    always = {
        name
        for name, field in every[0].items()
        if all(name in fields for fields in every)
        and msgspec.UnsetType not in getattr(field.type, "__args__", ())
        and field.default is msgspec.NODEFAULT
    }
    return always, {name for fields in every for name in fields} - always


def test_it_is_asyncapi() -> None:
    """The document is what the AsyncAPI Initiative's own schema of 3.0 asks for."""
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert [str(fault) for fault in validator.iter_errors(document())] == []
    # And it does find what is wrong.
    wrong = copy.deepcopy(document())
    wrong["operations"]["push"]["action"] = "shout"
    assert not validator.is_valid(wrong)


def test_what_it_refers_to_is_there() -> None:
    """No reference leads to nothing."""
    for reference in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document())):
        found: Any = document()
        for step in reference.split("/"):
            found = found[step]
        assert found


def test_each_message_is_sent_by_some_operation() -> None:
    """Every message of a channel stands in an operation there or in its reply."""
    for name, channel in document()["channels"].items():
        place = f"#/channels/{name}"
        used = {
            reference["$ref"].rpartition("/")[2]
            for operation in document()["operations"].values()
            if operation["channel"]["$ref"] == place
            for reference in [
                *operation["messages"],
                *operation.get("reply", {"messages": []})["messages"],
            ]
        }
        assert used == set(channel["messages"])


def test_no_field_is_described_in_vain() -> None:
    """Each described field stands in some message."""
    every = (*TO_CLIENTS, *FROM_CLIENTS, RECEIPT, *UPDATES, CHAT)
    used = {name for message in every for name in (*message.fields.split(), *message.more.split())}
    assert used == set(FIELDS)


# Frames

STRUCTS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "read_receipt": (frames._ReadReceipt, frames._CountedReceipt),
    "read_count": (frames._ReadCount,),
    "read_withdrawn": (frames._ReadWithdrawn,),
    "read_self": (frames._ReadSelf,),
    "unread_self": (frames._UnreadSelf,),
    "welcome": (frames._Welcome,),
    "reset": (frames._Reset,),
    "error": (frames._Error,),
    "read_result": (frames._ReadResult,),
    "hello": (frames.Hello,),
    "ack": (frames.AckFrame,),
    "ping": (frames.Ping,),
}


@pytest.mark.parametrize("name", STRUCTS)
def test_frames_have_the_fields_that_are_described(name: str) -> None:
    """A frame's fields are those of its struct, and those are optional that may be missing."""
    [message] = [each for each in (*TO_CLIENTS, *FROM_CLIENTS) if each.name == name]
    assert described(message) == written(*STRUCTS[name])


def test_a_read_frame_has_the_fields_of_a_mark() -> None:
    """The socket takes what HTTP takes, and a ref."""
    [message] = [each for each in FROM_CLIENTS if each.name == "read"]
    always, more = written(inputs.MarkFields)
    assert described(message) == (always, more | {"ref"})


def test_every_type_of_frame_is_described() -> None:
    """What the gateway can send or understand is described, and nothing else is."""
    kinds = {
        kind.__struct_config__.tag
        for kind in vars(frames).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }
    without_struct = {"pong", "read_receipts"}
    told = {message.name for message in (*TO_CLIENTS, *FROM_CLIENTS)}
    assert {kind for kind in kinds if kind} | without_struct == told


@pytest.mark.parametrize("sent", EVENTS, ids=str)
def test_events_are_sent_as_described(sent: Event) -> None:
    """Each kind of event, with and without what may be missing, is a frame of its description."""
    encode = frames.receipt if sent.kind == Kind.RECEIPT else frames.update
    text = encode(sent, 1_704_067_205)
    assert faults(json.loads(text)["type"], text) == []


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_sent_as_described(name: str) -> None:
    """So is every answer to what a client sends."""
    for text in ANSWERS[name]:
        assert faults(name, text) == []


@pytest.mark.parametrize("message", FROM_CLIENTS, ids=lambda message: message.name)
def test_described_frames_are_understood(message: Message) -> None:
    """The gateway takes each described frame, and looks at each of its fields."""
    whole = next(
        (example for example in FRAMES[message.name] if len(example) > 1), {"type": message.name}
    )
    more = {"token": "t", "device_id": "d", "ref": 1, "conversation_type": "group"}
    names = [*message.fields.split(), *message.more.split()]
    frame = whole | {name: more[name] for name in names if name not in whole}
    assert faults(message.name, json.dumps(frame).encode()) == []

    def understood(changed: dict[str, Any]) -> None:
        found = frames.decode(json.dumps(changed).encode())
        if isinstance(found, frames.Read):
            inputs.parse_mark(found.fields, "0" * 32)

    understood(frame)
    for name in names:
        with pytest.raises(BadInput) as refused:
            understood(frame | {name: {}})
        assert refused.value.field == name
        assert not strictly(message.name).is_valid(frame | {name: {}})


def test_silent_clients_are_sent_receipts_only() -> None:
    """Their channel has the one frame that they are sent."""
    assert set(document()["channels"]["silent_socket"]["messages"]) == set(SILENT)
    assert frames._A_RECEIPT.decode() == f'{{"type":"{SILENT[0]}",'


def test_the_subprotocol_is_the_gateways() -> None:
    """It is named as the gateway names it."""
    assert asyncapi.SUBPROTOCOL == frames.SUBPROTOCOL


def test_close_codes_are_those_of_the_gateway() -> None:
    """Each code with which a socket is closed is described, and no other one."""
    fixed = {value.code for value in vars(disconnect).values() if isinstance(value, Disconnect)}
    refusals = (
        BadInput("field", "right"),
        Forbidden(),
        StoreUnavailable(),
        TokenExpired(),
        Unauthenticated(),
    )
    used = fixed | {disconnect.for_error(error).code for error in refusals}
    assert set(asyncapi.CLOSE_CODES) == used
    for code, text in asyncapi.CLOSE_CODES.items():
        assert f"{code}: {text}" in document()["channels"]["socket"]["description"]


# Topics


@pytest.mark.parametrize("sent", EVENTS, ids=str)
def test_records_are_published_as_described(sent: Event) -> None:
    """So is each kind of event in Kafka."""
    if sent.kind == Kind.RECEIPT:
        assert faults(RECEIPT.name, events.encode(sent)) == []
        return
    text = events.encode_update(sent)
    name = json.loads(text)["type"]
    # A count without its numbers is never made: gateways refuse it.
    if sent.kind != Kind.COUNT or sent.of is not None:
        assert faults(asyncapi.UPDATE + name, text) == []


def test_every_update_is_described() -> None:
    """The types of updates are those that gateways know, and their fields those of the struct."""
    assert {message.name for message in UPDATES} == set(events._KINDS)
    known = {field.name for field in fields_of(events._Update)} - {"type"}
    assert set().union(*(set().union(*described(message)) for message in UPDATES)) == known
    assert set().union(*described(RECEIPT)) == {field.name for field in fields_of(events._Counted)}


@pytest.mark.parametrize("message", [RECEIPT, *UPDATES], ids=lambda message: message.name)
def test_described_records_are_understood(message: Message) -> None:
    """A gateway takes each described record; without a required field it is a dead letter."""
    update = message.typed
    name = asyncapi.UPDATE + message.name if update else message.name
    record = max(RECORDS[name], key=len)
    decode = events.decode_update if update else events.decode

    def understood(changed: dict[str, Any]) -> None:
        key = record["user_id" if update else "sender_id"]
        text = json.dumps(changed).encode()
        decode(text, key=key, timestamp_ms=0, epoch=EPOCH, current_epoch=EPOCH)

    understood(record)
    # Other producers may leave these out.
    lenient = set() if update else {"device_id", "seq"}
    for field in message.fields.split():
        less = {key: value for key, value in record.items() if key != field}
        if field in lenient:
            understood(less)
        else:
            with pytest.raises(BadEvent):
                understood(less)


def test_messages_of_the_chat_are_those_that_are_read() -> None:
    """The fields of the chat's topic are those that are looked at."""
    always, more = written(kafka_messages._Record)
    assert described(CHAT) == (always, more)
    for example in RECORDS[CHAT.name]:
        kafka_messages.message_in(json.dumps(example).encode())
        assert faults(CHAT.name, json.dumps(example).encode()) == []


def test_topics_are_named_and_made_as_described() -> None:
    """Names, partitions, replicas and retention are the defaults of the settings."""
    settings = Settings()
    channels = document()["channels"]
    suffix = dead_letters.SUFFIX
    assert {name: channel["address"] for name, channel in channels.items()} == {
        "socket": "/ws",
        "silent_socket": "/ws",
        "receipts": settings.topic,
        "updates": settings.updates_topic,
        "chat": settings.messages_topic,
        "receipts_dlq": settings.topic + suffix,
        "updates_dlq": settings.updates_topic + suffix,
        "chat_dlq": settings.messages_topic + suffix,
    }
    assert settings.topic_partitions == asyncapi.PARTITIONS
    assert settings.topic_replication == asyncapi.REPLICAS
    assert (RETENTION_MS, DEAD_LETTER_RETENTION_MS) == (
        asyncapi.RETENTION_MS,
        asyncapi.DLQ_RETENTION_MS,
    )


# Examples


def shown_in(page: str) -> list[dict[str, Any]]:
    """Every message that a page of the documentation shows."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [json.loads(line) for block in blocks for line in block.splitlines()]


def test_examples_are_those_of_the_documentation() -> None:
    """What docs/websocket.md and docs/kafka.md show is shown, and nothing else."""
    frames_shown = [example for examples in FRAMES.values() for example in examples]
    assert sorted(map(str, frames_shown)) == sorted(map(str, shown_in("websocket.md")))
    records = [example for examples in RECORDS.values() for example in examples]
    assert sorted(map(str, records)) == sorted(map(str, shown_in("kafka.md")))


@pytest.mark.parametrize("name", document()["components"]["messages"])
def test_examples_are_as_they_are_described(name: str) -> None:
    """Each example fits the schema of its message."""
    for example in document()["components"]["messages"][name].get("examples", []):
        assert faults(name, json.dumps(example["payload"]).encode()) == []
