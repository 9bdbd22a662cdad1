"""Each address: what it answers, and what it refuses in which words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from seenby.bus.partitions import partition_of
from seenby.model import Position
from seenby.store.base import Ack
from tests.unit.api.conftest import MARK

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api

PRINTABLE = "printable ASCII characters without spaces (0x21 to 0x7E)"
ALL_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))


class TestMark:
    async def test_the_answer(self, api: Api) -> None:
        """A mark is answered with its receipt, in the original's shape."""
        status, document = await api.mark(conversation_type="group", device_id="phone")

        assert status == 200
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["receipt"].pop("read_at"))
        assert document == {
            "success": True,
            "receipt": {
                **MARK,
                "id": 1,
                "conversation_type": "group",
                "device_id": "phone",
            },
        }

    async def test_the_first_read_wins(self, api: Api) -> None:
        """A repeat from another device is answered with the first receipt."""
        _, first = await api.mark(device_id="phone")
        status, again = await api.mark(device_id="pc", conversation_type="group")

        assert status == 200
        assert again == first

    @pytest.mark.parametrize("field", ["sender_id", "conversation_id"])
    async def test_a_repeat_that_says_otherwise(self, api: Api, field: str) -> None:
        """A repeat that names another sender or conversation is a 409."""
        await api.mark()
        status, document = await api.mark(**{field: "other"})

        assert status == 409
        assert document["code"] == "conflict"

    async def test_ones_own_message(self, api: Api) -> None:
        """A reader marking their own message is a 422."""
        status, document = await api.mark(reader_id="sender")

        assert status == 422
        assert document["code"] == "own_message"
        assert "reader_id" in document["error"]

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"msg_id": None}, f"msg_id must be given: 1 to 64 {PRINTABLE}"),
            ({"msg_id": ""}, f"msg_id must be 1 to 64 {PRINTABLE}"),
            ({"msg_id": "x" * 65}, f"msg_id must be 1 to 64 {PRINTABLE}"),
            ({"msg_id": "a b"}, f"msg_id must be 1 to 64 {PRINTABLE}"),
            ({"msg_id": "a\n"}, f"msg_id must be 1 to 64 {PRINTABLE}"),
            ({"msg_id": "a\x00b"}, f"msg_id must be 1 to 64 {PRINTABLE}"),
            ({"msg_id": "é"}, f"msg_id must be 1 to 64 {PRINTABLE}"),
            ({"msg_id": 5}, f"msg_id must be 1 to 64 {PRINTABLE}"),
            ({"reader_id": None}, f"reader_id must be given: 1 to 64 {PRINTABLE}"),
            ({"reader_id": "x" * 65}, f"reader_id must be 1 to 64 {PRINTABLE}"),
            ({"sender_id": None}, "sender_id must be given for a message that is not registered"),
            ({"sender_id": ["a"]}, f"sender_id must be 1 to 64 {PRINTABLE}"),
            (
                {"conversation_id": None},
                "conversation_id must be given for a message that is not registered",
            ),
            ({"conversation_id": "x" * 129}, f"conversation_id must be 1 to 128 {PRINTABLE}"),
            ({"conversation_type": "channel"}, "conversation_type must be `private` or `group`"),
            ({"conversation_type": 1}, "conversation_type must be `private` or `group`"),
            ({"device_id": "x" * 65}, f"device_id must be at most 64 {PRINTABLE}"),
            ({"device_id": "\x7f"}, f"device_id must be at most 64 {PRINTABLE}"),
        ],
    )
    async def test_a_wrong_field(self, api: Api, fields: dict[str, Any], sentence: str) -> None:
        """A wrong field is a 400 that names it and the accepted form; nothing is recorded."""
        status, document = await api.mark(**fields)

        assert status == 400
        assert document == {"success": False, "error": sentence, "code": "bad_request"}
        _, stream = await api.call("GET", "/api/v1/users/sender/receipts")
        assert stream["receipts"] == []

    async def test_the_longest_and_strangest_ids(self, api: Api) -> None:
        """Ids may be of any printable ASCII, and come back as they were."""
        fields = {
            "msg_id": ALL_CHARACTERS[:64],
            "reader_id": ALL_CHARACTERS[30:],
            "sender_id": ALL_CHARACTERS[:64][::-1],
            "conversation_id": ALL_CHARACTERS + ALL_CHARACTERS[:34],
            "device_id": ALL_CHARACTERS[-64:],
        }
        status, document = await api.mark(**fields)

        assert status == 200
        assert fields.items() <= document["receipt"].items()

    async def test_the_trace_of_the_caller_goes_on(self, api: Api) -> None:
        """A traceparent header's trace id goes into the event; a broken one is replaced."""
        trace = "0af7651916cd43dd8448eb211c80319c"
        for number, header in enumerate((f"00-{trace}-b7ad6b7169203331-01", "nonsense")):
            await api.call(
                "POST",
                "/api/v1/messages/read",
                json=MARK | {"msg_id": f"m{number}"},
                headers={"traceparent": header},
            )
        [[first], [second]] = api.store.commits

        assert first.trace == trace
        assert re.fullmatch("[0-9a-f]{32}", second.trace)


class TestMarkBatch:
    async def test_one_result_per_item(self, api: Api) -> None:
        """Each item is answered in its place, in the shape of a single mark."""
        await api.mark(msg_id="known")
        items = [
            MARK,
            MARK | {"msg_id": "", "conversation_id": "c"},
            MARK | {"msg_id": "known", "conversation_id": "other"},
            MARK | {"reader_id": "sender"},
            "nonsense",
            MARK,
            MARK | {"msg_id": "m2"},
        ]
        status, document = await api.call(
            "POST", "/api/v1/messages/read/batch", json={"receipts": items}
        )
        results = document["results"]

        assert status == 200
        assert document["success"] is True
        assert [result["success"] for result in results] == [True, *[False] * 4, True, True]
        assert [result["code"] for result in results[1:5]] == [
            "bad_request",
            "conflict",
            "own_message",
            "bad_request",
        ]
        assert results[0] == results[5]
        assert results[6]["receipt"]["msg_id"] == "m2"
        assert len(api.store.commits) == 2

    async def test_an_empty_one(self, api: Api) -> None:
        """A batch without items has no results."""
        status, document = await api.call(
            "POST", "/api/v1/messages/read/batch", json={"receipts": []}
        )

        assert status == 200
        assert document == {"success": True, "results": []}

    @pytest.mark.parametrize("body", [{}, {"receipts": 1}, {"receipts": [MARK] * 1001}])
    async def test_what_is_no_batch(self, api: Api, body: dict[str, Any]) -> None:
        """A body without a list of up to 1000 items is a 400 that names the field."""
        status, document = await api.call("POST", "/api/v1/messages/read/batch", json=body)

        assert status == 400
        assert document["error"].startswith("receipts must be")
        assert api.store.attempts == []

    async def test_the_store_is_away(self, api: Api) -> None:
        """Without a store the whole batch is a 503, and nothing was recorded."""
        api.store.failing = True
        status, _ = await api.call("POST", "/api/v1/messages/read/batch", json={"receipts": [MARK]})

        assert status == 503
        assert api.store.commits == []


class TestMissed:
    async def test_a_stream_in_pages(self, api: Api) -> None:
        """A sender's stream comes whole and in order over its pages."""
        await api.marked(5)
        seqs: list[int] = []
        document: dict[str, Any] = {}
        query = "limit=2"
        for _ in range(3):
            status, document = await api.call("GET", f"/api/v1/users/sender/receipts?{query}")
            assert status == 200
            assert document["head"] == 5
            seqs += [receipt["seq"] for receipt in document["receipts"]]
            query = f"limit=2&epoch={document['epoch']}&after={document.get('next_after')}"

        assert seqs == [1, 2, 3, 4, 5]
        assert "next_after" not in document

    async def test_a_receipt_in_it(self, api: Api) -> None:
        """An entry says who read which message, where, when and with which device."""
        [receipt] = await api.marked(1, device_id="phone")
        _, document = await api.call("GET", "/api/v1/users/sender/receipts")

        assert document["receipts"] == [
            {
                "seq": 1,
                "msg_id": "m1",
                "reader_id": "reader",
                "conversation_id": "c1",
                "read_at": receipt["read_at"],
                "device_id": "phone",
            }
        ]

    @pytest.mark.parametrize("query", ["after=1", "after=1&epoch=another", "after=6&epoch=epoch-1"])
    async def test_a_position_that_cannot_be_served(self, api: Api, query: str) -> None:
        """A seq without epoch, of another epoch or above the head is a 410 with the way on."""
        await api.marked(5)
        status, document = await api.call("GET", f"/api/v1/users/sender/receipts?{query}")

        assert status == 410
        assert document["code"] == "reset"
        assert (document["epoch"], document["seq"]) == ("epoch-1", 5)

    async def test_a_trimmed_position(self, api: Api) -> None:
        """A position below what is kept is a 410; without one the stream starts at its floor."""
        await api.marked(5)
        api.store.trim(before=2**60, limit=3)
        gone, _ = await api.call("GET", "/api/v1/users/sender/receipts?after=2&epoch=epoch-1")
        kept, document = await api.call("GET", "/api/v1/users/sender/receipts")

        assert (gone, kept) == (410, 200)
        assert [receipt["seq"] for receipt in document["receipts"]] == [4, 5]

    @pytest.mark.parametrize(
        ("path", "field"),
        [
            ("sender/receipts?after=x", "after"),
            ("sender/receipts?after=-1", "after"),
            ("sender/receipts?epoch=a&epoch=b", "epoch"),
            ("sender/receipts?limit=0", "limit"),
            (f"{'x' * 65}/receipts", "user_id"),
            ("a%20b/receipts", "user_id"),
        ],
    )
    async def test_a_wrong_query(self, api: Api, path: str, field: str) -> None:
        """A wrong parameter is a 400 that names it."""
        status, document = await api.call("GET", f"/api/v1/users/{path}")

        assert status == 400
        assert document["error"].startswith(f"{field} must be")

    async def test_ids_with_slashes_and_percents(self, api: Api) -> None:
        """An id is encoded in the address, whatever it contains."""
        await api.mark(sender_id="a/b%2F?#c")
        status, document = await api.call("GET", "/api/v1/users/a%2Fb%252F%3F%23c/receipts")

        assert status == 200
        assert document["head"] == 1


class TestDevices:
    async def test_list_and_sign_off(self, api: Api) -> None:
        """Known devices are listed with their position, and can be signed off once."""
        epoch = api.store.epoch()
        api.store.acknowledge([Ack("sender", "a/b", Position(epoch, 7))], now=1_700_000_000_500)
        _, listed = await api.call("GET", "/api/v1/users/sender/devices")
        first, done = await api.call("DELETE", "/api/v1/users/sender/devices/a%2Fb")
        second, refused = await api.call("DELETE", "/api/v1/users/sender/devices/a%2Fb")

        assert listed == {
            "user_id": "sender",
            "devices": [
                {
                    "device_id": "a/b",
                    "epoch": epoch,
                    "seq": 7,
                    "last_seen": "2023-11-14T22:13:20Z",
                }
            ],
        }
        assert (first, done) == (200, {"success": True})
        assert (second, refused["code"]) == (404, "not_found")


class TestGateway:
    async def test_where_to_connect(self, api: Api) -> None:
        """A user learns the gateway's address, and the partition that records of theirs are in."""
        _, document = await api.call("GET", "/api/v1/gateway?user_id=user123")

        assert document == {
            "url": "wss://chat.example.com/ws",
            "part": partition_of("user123", 16),
            "partitions": 16,
        }

    async def test_the_topic_is_not_known_yet(self, api: Api) -> None:
        """Until Kafka has answered, the partitions are those that the settings say."""
        api.bus.partitions = 0
        _, document = await api.call("GET", "/api/v1/gateway?user_id=user123")

        assert document["partitions"] == 8

    async def test_without_a_user(self, api: Api) -> None:
        """A missing user_id is a 400 that names it."""
        status, document = await api.call("GET", "/api/v1/gateway")

        assert status == 400
        assert document["error"].startswith("user_id must be")


class TestHealth:
    async def test_alive(self, api: Api) -> None:
        """A process that answers is alive, whatever else is away."""
        api.store.failing = True

        assert await api.call("GET", "/health") == (200, {"status": "alive"})

    @pytest.mark.parametrize(
        ("store", "bus"), [(True, True), (False, True), (True, False), (False, False)]
    )
    async def test_ready(self, api: Api, store: bool, bus: bool) -> None:
        """Ready means that store and bus answer; which one does not is said."""
        api.store.failing = not store
        api.bus.healthy = bus
        response = await api.response("GET", "/ready")

        assert response.status == (200 if store and bus else 503)
        assert await response.json() == {"ready": store and bus, "store": store, "bus": bus}
        assert ("Retry-After" in response.headers) is not (store and bus)

    async def test_metrics(self, api: Api) -> None:
        """Metrics come in Prometheus' text format."""
        response = await api.response("GET", "/metrics")

        assert response.content_type == "text/plain"
        assert "# TYPE read_receipt_events_published_total counter" in await response.text()
