"""The addresses of conversations: what each answers, and what it refuses in which words."""

from __future__ import annotations

import io
from json import dumps
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from yarl import URL

from tests.unit.api.conftest import BACKEND, MARK, ORIGIN, chatting

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api

V1 = "/api/v1"
MESSAGE = {"msg_id": "m1", "conversation_id": "c1", "sender_id": "ann"}
GROUP = {"type": "group", "members": ["ann", "bob"]}
PRINTABLE = "printable ASCII characters without spaces (0x21 to 0x7E)"
EVERY = "".join(map(chr, range(0x21, 0x7F)))

ADDRESSES: list[tuple[str, str, Any]] = [
    # Method, address, a body that is right.
    ("PUT", "/conversations/c1", GROUP),
    ("GET", "/conversations/c1", None),
    ("POST", "/conversations/batch", {"conversations": [GROUP | {"conversation_id": "c1"}]}),
    ("POST", "/conversations/c1/members", {"add": ["cid"]}),
    ("GET", "/conversations/c1/members", None),
    ("POST", "/conversations/members/batch", {"changes": [{"conversation_id": "c1"}]}),
    ("POST", "/messages", MESSAGE),
    ("POST", "/messages/batch", {"messages": [MESSAGE]}),
    ("DELETE", "/users/bob", None),
    ("GET", "/messages/receipts?msg_id=m1", None),
    ("GET", "/messages/receipts?msg_id=m1&unread=true&user_id=ann", None),
    ("GET", "/messages/unread?user_id=bob", None),
    ("GET", "/messages/unread/count?user_id=bob", None),
    ("POST", "/conversations/read", {"user_id": "bob", "conversation_id": "c1"}),
    ("DELETE", "/messages/read", {"msg_id": "m1", "reader_id": "bob"}),
    ("PUT", "/users/bob/settings", {"send_receipts": False}),
    ("GET", "/users/bob/settings", None),
    ("GET", "/users/bob/policy", None),
]
BACKENDS = ADDRESSES[:9]
OWN = ADDRESSES[11:]
WITH_BODY = [address for address in ADDRESSES if address[2] is not None]


def path_of(part: str, tail: str = "") -> URL:
    """The address of a conversation, its id encoded."""
    return URL(f"{V1}/conversations/{quote(part, safe='')}{tail}", encoded=True)


class TestWho:
    @pytest.mark.parametrize(("method", "path", "json"), ADDRESSES)
    @pytest.mark.parametrize(("token", "code"), [("", "unauthenticated"), ("old", "token_expired")])
    async def test_nobody_without_a_token(
        self, chat: Api, method: str, path: str, json: Any, token: str, code: str
    ) -> None:
        """Each address asks who calls."""
        status, document = await chat.call(method, V1 + path, json=json, token=token)
        assert (status, document["code"]) == (401, code)

    @pytest.mark.parametrize(("method", "path", "json"), BACKENDS)
    async def test_what_is_the_backends(self, chat: Api, method: str, path: str, json: Any) -> None:
        """A user may not register anything, nor look at what is, nor erase themselves."""
        status, document = await chat.call(method, V1 + path, json=json, token="bob's")
        assert status == 403
        assert document == {
            "success": False,
            "error": "this is for the chat's backend: the token's scope must be service",
            "code": "forbidden",
        }

    @pytest.mark.parametrize(("method", "path", "json"), OWN)
    async def test_what_is_a_users_own(self, chat: Api, method: str, path: str, json: Any) -> None:
        """Each user asks and acts for themselves; a backend for anyone."""
        await chat.group("ann", "bob")
        await chat.send("m1", "m2")
        await chat.read("m1", "bob")
        status, document = await chat.call(method, V1 + path, json=json, token="eve's")
        assert (status, document["code"]) == (403, "forbidden")
        # DELETE takes the receipt back, so it works but once.
        for token in ("bob's", BACKEND):
            await chat.good(method, V1 + path, json=json, token=token)
            await chat.read("m1", "bob")

    async def test_a_batch_of_nothing_right_is_the_backends_too(self, chat: Api) -> None:
        """A user does not learn more from items that are refused before anybody asks."""
        status, _ = await chat.call(
            "POST", f"{V1}/messages/batch", json={"messages": [{}]}, token="bob's"
        )
        assert status == 403

    async def test_a_user_asks_for_nobody_else(self, chat: Api) -> None:
        """Not for who has read what another has sent, either."""
        for more in ("", "&unread=true"):
            status, document = await chat.call(
                "GET", f"{V1}/messages/receipts?msg_id=m1&user_id=ann{more}", token="bob's"
            )
            assert (status, document["code"]) == (403, "forbidden")


class TestRequests:
    @pytest.mark.parametrize(("method", "path", "json"), WITH_BODY)
    async def test_a_body_is_declared_as_json(
        self, chat: Api, method: str, path: str, json: Any
    ) -> None:
        """A page of a foreign origin cannot do that unasked."""
        status, document = await chat.call(
            method, V1 + path, data=b"{}", headers={"Content-Type": "text/plain"}, token=BACKEND
        )
        assert json is not None
        assert (status, document["code"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize(("method", "path", "json"), WITH_BODY)
    @pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"', b"[" * 60_000, b"\xff"])
    async def test_a_body_is_a_json_object(
        self, chat: Api, method: str, path: str, json: Any, body: bytes
    ) -> None:
        """What is not is refused in a sentence."""
        status, document = await chat.call(
            method,
            V1 + path,
            data=body,
            headers={"Content-Type": "application/json"},
            token=BACKEND,
        )
        assert json is not None
        assert (status, document["code"]) == (400, "bad_request")
        assert document["error"] == "body must be a JSON object"

    @pytest.mark.parametrize(
        ("method", "path", "json"),
        [each for each in WITH_BODY if "batch" not in each[1] and "/c1" not in each[1]],
    )
    async def test_a_body_over_64_kib(self, chat: Api, method: str, path: str, json: Any) -> None:
        """Where there are no lists it is too large."""
        large = {**json, "more": "x" * 65536}
        status, document = await chat.call(method, V1 + path, json=large, token=BACKEND)
        assert (status, document["code"]) == (413, "too_large")
        assert "64 KiB" in document["error"]

    @pytest.mark.parametrize(
        ("method", "path", "json"),
        [each for each in WITH_BODY if "batch" in each[1] or "/c1" in each[1]],
    )
    async def test_a_body_over_1_mib(self, chat: Api, method: str, path: str, json: Any) -> None:
        """Lists of members and batches have more room, but not for ever."""
        await chat.group("ann", "bob")
        fits = {**json, "more": "x" * 65536}
        await chat.good(method, V1 + path, json=fits)
        large = dumps({**json, "more": "x" * 1024 * 1024}).encode()
        status, document = await chat.call(
            method,
            V1 + path,
            data=io.BytesIO(large),
            headers={"Content-Type": "application/json"},
            token=BACKEND,
        )
        assert (status, document["code"]) == (413, "too_large")
        assert "1024 KiB" in document["error"]

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("POST", "/conversations/c1", "PUT, GET, HEAD, OPTIONS"),
            ("DELETE", "/conversations/c1", "PUT, GET, HEAD, OPTIONS"),
            ("PUT", "/conversations/c1/members", "POST, GET, HEAD, OPTIONS"),
            ("GET", "/conversations/members/batch", "POST, OPTIONS"),
            ("GET", "/messages", "POST, OPTIONS"),
            ("PUT", "/messages/batch", "POST, OPTIONS"),
            ("POST", "/messages/unread", "GET, HEAD, OPTIONS"),
            ("DELETE", "/messages/unread/count", "GET, HEAD, OPTIONS"),
            ("GET", "/users/u", "DELETE, OPTIONS"),
            ("POST", "/users/u/settings", "PUT, GET, HEAD, OPTIONS"),
            ("PUT", "/users/u/policy", "GET, HEAD, OPTIONS"),
        ],
    )
    async def test_a_wrong_method(self, chat: Api, method: str, path: str, allowed: str) -> None:
        """It is a 405 that names those that the address has."""
        response = await chat.response(method, V1 + path, token=BACKEND)
        assert response.status == 405
        assert response.headers["Allow"] == allowed

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("/conversations/c1", "PUT, GET, HEAD"),
            ("/conversations/batch", "POST, PUT, GET, HEAD"),
            ("/conversations/read", "POST, PUT, GET, HEAD"),
            ("/messages/read", "POST, DELETE"),
            ("/users/u", "DELETE"),
            ("/users/u/settings", "PUT, GET, HEAD"),
        ],
    )
    async def test_a_preflight(self, chat: Api, path: str, allowed: str) -> None:
        """Pages of allowed origins may use every method that an address has; others none."""
        response = await chat.response("OPTIONS", V1 + path, headers={"Origin": ORIGIN})
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Methods"] == allowed
        assert response.headers["Allow"] == f"{allowed}, OPTIONS"
        other = await chat.response(
            "OPTIONS", V1 + path, headers={"Origin": "https://evil.example"}
        )
        assert not [name for name in other.headers if name.startswith("Access-Control")]

    @pytest.mark.parametrize("path", [path for method, path, _ in ADDRESSES if method == "GET"])
    async def test_head(self, chat: Api, path: str) -> None:
        """HEAD answers as GET does, without the body."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        head = await chat.response("HEAD", V1 + path, token=BACKEND)
        get = await chat.response("GET", V1 + path, token=BACKEND)
        assert (head.status, await head.read()) == (200, b"")
        assert head.headers["Content-Length"] == get.headers["Content-Length"]

    @pytest.mark.parametrize(
        ("path", "sentence"),
        [
            ("/conversations/c1/members?limit=0", "limit must be a whole number from 1 to 1000"),
            ("/conversations/c1/members?limit=1001", "limit must be a whole number from 1 to 1000"),
            ("/conversations/c1/members?cursor=a%20b", f"cursor must be 1 to 64 {PRINTABLE}"),
            ("/conversations/c1/members?cursor=a&cursor=b", "cursor must be given once"),
            ("/messages/unread", f"user_id must be 1 to 64 {PRINTABLE}"),
            ("/messages/unread/count?user_id=", f"user_id must be 1 to 64 {PRINTABLE}"),
            ("/messages/unread/count?user_id=a&user_id=b", "user_id must be given once"),
            (
                "/messages/unread?user_id=a&limit=true",
                "limit must be a whole number from 1 to 1000",
            ),
            (
                "/messages/unread?user_id=a&offset=-1",
                "offset must be a whole number from 0 to 10000",
            ),
            (
                "/messages/unread?user_id=a&offset=9223372036854775807",
                "offset must be a whole number from 0 to 10000",
            ),
            (
                "/messages/unread?user_id=a&conversation_id=",
                f"conversation_id must be 1 to 128 {PRINTABLE}",
            ),
            (
                "/users/u/policy?conversation_id=a%0A",
                f"conversation_id must be 1 to 128 {PRINTABLE}",
            ),
            ("/messages/receipts", "msg_id must be given 1 to 100 times"),
            ("/messages/receipts?msg_id=", f"msg_id must be 1 to 64 {PRINTABLE}"),
            (
                "/messages/receipts?" + "&".join(f"msg_id={n}" for n in range(101)),
                "msg_id must be given 1 to 100 times",
            ),
            (
                "/messages/receipts?msg_id=m&limit=ten",
                "limit must be a whole number from 1 to 1000",
            ),
            ("/messages/receipts?msg_id=m&limit=1&limit=2", "limit must be given once"),
            (
                "/messages/receipts?msg_id=m&cursor=-1",
                "cursor must be the next_cursor of the page before",
            ),
            (
                "/messages/receipts?msg_id=m&cursor=99999999999999999999",
                "cursor must be the next_cursor of the page before",
            ),
            (
                "/messages/receipts?msg_id=m&msg_id=n&cursor=1",
                "cursor must be given with one msg_id only",
            ),
            ("/messages/receipts?msg_id=m&unread=yes", "unread must be true or false"),
            ("/messages/receipts?msg_id=m&unread=TRUE", "unread must be true or false"),
            ("/messages/receipts?msg_id=m&user_id=", f"user_id must be 1 to 64 {PRINTABLE}"),
            ("/messages/receipts?msg_id=m&msg_id=n&unread=true", "msg_id must be given once"),
            ("/messages/receipts?unread=true", f"msg_id must be 1 to 64 {PRINTABLE}"),
            (
                "/users/(erased)/settings",
                "user_id must be another id: (erased) stands for users who were erased",
            ),
        ],
    )
    async def test_a_wrong_query(self, chat: Api, path: str, sentence: str) -> None:
        """It is a 400 that names the parameter and the accepted form."""
        status, document = await chat.call("GET", V1 + path, token=BACKEND)
        assert (status, document["code"]) == (400, "bad_request")
        assert document["error"] == sentence

    @pytest.mark.parametrize("conversation_id", ["batch", "read", "members", "receipts"])
    async def test_a_conversation_may_have_any_name(self, chat: Api, conversation_id: str) -> None:
        """Words that stand in addresses are ids as well."""
        await chat.group("ann", "bob", conversation_id=conversation_id)
        path = f"{V1}/conversations/{conversation_id}"
        await chat.good("POST", f"{path}/members", json={"add": ["cid"]})
        found = await chat.good("GET", path)
        assert (found["conversation_id"], found["member_count"]) == (conversation_id, 3)
        listed = await chat.good("GET", f"{path}/members")
        assert listed["members"] == ["ann", "bob", "cid"]

    @pytest.mark.parametrize(
        "conversation_id", [*EVERY, EVERY, "a/b", "%2F", "100%", "..", ".", "a+b", "c1/members"]
    )
    async def test_any_id_fits_into_an_address(self, chat: Api, conversation_id: str) -> None:
        """Percent-encoded where it must be; "." and ".." are no steps upwards then."""
        if conversation_id in {".", ".."}:
            # A browser and aiohttp take these out even when they are encoded.
            body = {"conversations": [GROUP | {"conversation_id": conversation_id}]}
            [found] = (await chat.good("POST", f"{V1}/conversations/batch", json=body))["results"]
        else:
            found = await chat.good("PUT", path_of(conversation_id), json=GROUP)
            listed = await chat.good("GET", path_of(conversation_id, "/members"))
            assert listed["conversation_id"] == conversation_id
        assert found["conversation_id"] == conversation_id

    @pytest.mark.parametrize("conversation_id", ["", "x" * 129, "a b", "é", "a\n"])
    async def test_what_is_no_id_in_an_address(self, chat: Api, conversation_id: str) -> None:
        """It is a 400 as in a body; where nothing stands there is no address."""
        status, document = await chat.call("GET", path_of(conversation_id), token=BACKEND)
        if conversation_id:
            assert (status, document["error"]) == (
                400,
                f"conversation_id must be 1 to 128 {PRINTABLE}",
            )
        else:
            assert (status, document["code"]) == (404, "not_found")


class TestConversations:
    async def test_it_is_registered(self, chat: Api) -> None:
        """The answer says how many members and messages there are; again is the same."""
        for _ in range(2):
            assert await chat.group("ann", "bob", "ann") == {
                "success": True,
                "conversation_id": "c1",
                "type": "group",
                "member_count": 2,
                "message_count": 0,
            }
        await chat.send("m1", "m2")
        found = await chat.good("GET", f"{V1}/conversations/c1")
        assert (found["member_count"], found["message_count"]) == (2, 2)

    async def test_its_members_are_those_named(self, chat: Api) -> None:
        """Whoever is not named has left; it may have nobody."""
        await chat.group("ann", "bob")
        await chat.group("bob", "cid")
        listed = await chat.good("GET", f"{V1}/conversations/c1/members")
        assert listed == {"conversation_id": "c1", "members": ["bob", "cid"]}
        assert (await chat.group())["member_count"] == 0

    async def test_it_keeps_its_type(self, chat: Api) -> None:
        """A group does not become a private conversation: 409."""
        await chat.group("ann")
        status, document = await chat.call(
            "PUT", f"{V1}/conversations/c1", json=GROUP | {"type": "private"}, token=BACKEND
        )
        assert (status, document["code"]) == (409, "conflict")
        assert "registered as group" in document["error"]

    @pytest.mark.parametrize(
        ("method", "tail", "json"),
        [("GET", "", None), ("GET", "/members", None), ("POST", "/members", {})],
    )
    async def test_an_unknown_one(self, chat: Api, method: str, tail: str, json: Any) -> None:
        """It is a 404: only PUT makes one."""
        status, document = await chat.call(
            method, f"{V1}/conversations/nothing{tail}", json=json, token=BACKEND
        )
        assert (status, document["code"]) == (404, "not_found")

    async def test_members_come_and_leave(self, chat: Api) -> None:
        """Who is there already stays, and who is not cannot leave: neither is an error."""
        await chat.group("ann", "bob")
        body = {"add": ["bob", "cid", "cid"], "remove": ["ann", "eve"]}
        for _ in range(2):
            changed = await chat.good("POST", f"{V1}/conversations/c1/members", json=body)
            assert changed["member_count"] == 2
        listed = await chat.good("GET", f"{V1}/conversations/c1/members")
        assert listed["members"] == ["bob", "cid"]

    async def test_members_in_pages(self, chat: Api) -> None:
        """Each comes once, in the order of the ids, and the last page has no cursor."""
        everybody = sorted(f"u{n}~/?&#%+" for n in range(7))
        await chat.group(*everybody)
        found: list[str] = []
        query = {"limit": "3"}
        for _ in range(3):
            url = URL(f"{V1}/conversations/c1/members").with_query(query)
            page = await chat.good("GET", url)
            found += page["members"]
            query["cursor"] = page.get("next_cursor", "")
        assert found == everybody
        assert query["cursor"] == ""

    async def test_a_batch(self, chat: Api) -> None:
        """Each is registered or refused in its place, and later ones find earlier ones."""
        await chat.group("ann", conversation_id="group")
        items = [
            {"conversation_id": "c1", "type": "private", "members": ["ann", "bob"]},
            {"conversation_id": "group", "type": "private", "members": []},
            {"type": "group", "members": []},
            7,
            {"conversation_id": "c2", "type": "group", "members": ["ann", "a b"]},
            {"conversation_id": "c1", "type": "private", "members": ["ann"]},
        ]
        document = await chat.good(
            "POST", f"{V1}/conversations/batch", json={"conversations": items}
        )
        assert document["success"] is True
        results = document["results"]
        assert [result.get("code") for result in results] == [
            None,
            "conflict",
            "bad_request",
            "bad_request",
            "bad_request",
            None,
        ]
        assert [results[0]["member_count"], results[5]["member_count"]] == [2, 1]
        assert results[4]["error"] == "members must be " + f"1 to 64 {PRINTABLE}"

    async def test_a_batch_of_changes(self, chat: Api) -> None:
        """Each is made or refused in its place."""
        await chat.group("ann")
        items = [
            {"conversation_id": "c1", "add": ["bob"]},
            {"conversation_id": "nothing", "add": ["bob"]},
            {"conversation_id": "c1", "add": ["bob"], "remove": ["bob"]},
            {"conversation_id": "c1", "remove": ["ann"]},
        ]
        document = await chat.good(
            "POST", f"{V1}/conversations/members/batch", json={"changes": items}
        )
        assert [(r.get("code"), r.get("member_count")) for r in document["results"]] == [
            (None, 2),
            ("not_found", None),
            ("bad_request", None),
            (None, 1),
        ]

    async def test_the_largest_batch(self, chat: Api) -> None:
        """A thousand conversations are registered in one call, and answered in order."""
        items = [
            {"conversation_id": f"c{n}", "type": "group", "members": ["ann", f"u{n}"]}
            for n in range(1000)
        ]
        document = await chat.good(
            "POST", f"{V1}/conversations/batch", json={"conversations": items}
        )
        assert [result["conversation_id"] for result in document["results"]] == [
            item["conversation_id"] for item in items
        ]


class TestMessages:
    async def test_it_is_registered(self, chat: Api) -> None:
        """member_count is to how many it was sent; again is the same, whatever it says of when."""
        await chat.group("ann", "bob", "cid")
        first = await chat.good(
            "POST", f"{V1}/messages", json=MESSAGE | {"sent_at": "2024-01-01T12:00:00+01:00"}
        )
        assert first == {
            "success": True,
            **MESSAGE,
            "sent_at": "2024-01-01T11:00:00Z",
            "member_count": 2,
        }
        assert await chat.good("POST", f"{V1}/messages", json=MESSAGE | {"sent_at": 5}) == first

    async def test_its_sender_need_not_be_a_member(self, chat: Api) -> None:
        """A system's own messages go to everyone."""
        await chat.group("ann", "bob")
        found = await chat.good("POST", f"{V1}/messages", json=MESSAGE | {"sender_id": "system"})
        assert found["member_count"] == 2

    async def test_an_unknown_conversation(self, chat: Api) -> None:
        """It is a 404: whom it was sent to is not known."""
        status, document = await chat.call("POST", f"{V1}/messages", json=MESSAGE, token=BACKEND)
        assert (status, document["code"]) == (404, "not_found")
        assert document["error"] == "conversation_id is not a registered conversation"

    @pytest.mark.parametrize("field", ["conversation_id", "sender_id"])
    async def test_another_of_that_id(self, chat: Api, field: str) -> None:
        """An id is one message's only: 409."""
        await chat.group("ann", "bob")
        await chat.group("ann", "bob", conversation_id="c2")
        await chat.send("m1")
        other = {"conversation_id": "c2", "sender_id": "bob"}
        status, document = await chat.call(
            "POST", f"{V1}/messages", json=MESSAGE | {field: other[field]}, token=BACKEND
        )
        assert (status, document["code"]) == (409, "conflict")

    async def test_a_batch(self, chat: Api) -> None:
        """Each is registered or refused in its place, a repeat with it."""
        await chat.group("ann", "bob")
        items = [
            MESSAGE,
            MESSAGE | {"msg_id": "m2", "sent_at": True},
            MESSAGE | {"msg_id": "m3", "conversation_id": "nothing"},
            MESSAGE | {"sender_id": "bob"},
            MESSAGE,
            None,
        ]
        document = await chat.good("POST", f"{V1}/messages/batch", json={"messages": items})
        results = document["results"]
        codes = [result.get("code") for result in results]
        assert codes == [None, "bad_request", "not_found", "conflict", None, "bad_request"]
        assert results[0] == results[4]


class TestMarks:
    async def test_sender_and_conversation_are_filled_in(self, chat: Api) -> None:
        """A registered message knows both, and its conversation's type."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        document = await chat.good(
            "POST", f"{V1}/messages/read", json={"msg_id": "m1", "reader_id": "bob"}, token="bob's"
        )
        receipt = document["receipt"]
        assert (receipt["sender_id"], receipt["conversation_id"]) == ("ann", "c1")
        assert receipt["conversation_type"] == "group"

    @pytest.mark.parametrize("field", ["sender_id", "conversation_id"])
    @pytest.mark.parametrize("again", [False, True])
    async def test_what_contradicts_the_message(self, chat: Api, field: str, again: bool) -> None:
        """It is a 422 that names the field and not what is right, at a repeat too."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        if again:
            await chat.read("m1", "bob")
        body = {"msg_id": "m1", "reader_id": "bob", field: "zoe"}
        status, document = await chat.call("POST", f"{V1}/messages/read", json=body, token="bob's")
        assert status == 422
        assert document == {
            "success": False,
            "error": f"{field} must be the registered message's, or left out",
            "code": "mismatch",
        }

    async def test_ones_own(self, chat: Api) -> None:
        """Whoever has sent it does not mark it, named as the sender or not."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        body = {"msg_id": "m1", "reader_id": "ann"}
        status, document = await chat.call("POST", f"{V1}/messages/read", json=body, token="ann's")
        assert (status, document["code"]) == (422, "own_message")

    @pytest.mark.parametrize("field", ["sender_id", "conversation_id"])
    async def test_unregistered_it_must_be_given(self, chat: Api, field: str) -> None:
        """Alone and in a batch: 400, and the field is named."""
        chat.tokens.on = False
        sentence = f"{field} must be given for a message that is not registered"
        refusal = {"success": False, "error": sentence, "code": "bad_request"}
        assert await chat.mark(**{field: None}) == (400, refusal)
        item = {name: value for name, value in MARK.items() if name != field}
        document = await chat.good("POST", f"{V1}/messages/read/batch", json={"receipts": [item]})
        assert document["results"] == [refusal]

    async def test_a_batch(self, chat: Api) -> None:
        """Registered and other messages, each marked or refused in its place."""
        await chat.group("ann", "bob")
        await chat.send("m1", "m2")
        items = [
            {"msg_id": "m1", "reader_id": "bob"},
            {"msg_id": "m2", "reader_id": "eve"},
            MARK | {"msg_id": "m3"},
            {"msg_id": "m2", "reader_id": "ann"},
            {"msg_id": "m1", "reader_id": "bob", "sender_id": "zoe"},
            {"msg_id": "m2", "reader_id": "bob", "sender_id": "zoe"},
            {"msg_id": "m2", "reader_id": "bob", "conversation_id": "c1"},
        ]
        document = await chat.good("POST", f"{V1}/messages/read/batch", json={"receipts": items})
        assert [result.get("code") for result in document["results"]] == [
            None,
            "forbidden",
            None,
            "own_message",
            "mismatch",
            "mismatch",
            None,
        ]


class TestReceipts:
    async def test_a_registered_message(self, chat: Api) -> None:
        """Counts and readers; the first page of one message."""
        await chat.group("ann", "bob", "cid", "eve")
        await chat.send("m1")
        await chat.read("m1", "bob", "cid")
        found = await chat.seen("msg_id=m1", "ann's")
        assert {name: found[name] for name in ("msg_id", "count", "member_count")} == {
            "msg_id": "m1",
            "count": 2,
            "member_count": 3,
        }
        assert [receipt["reader_id"] for receipt in found["receipts"]] == ["bob", "cid"]
        assert found.keys() == {"msg_id", "count", "member_count", "receipts"}

    async def test_an_unregistered_message(self, chat: Api) -> None:
        """How many it was sent to is not known, so it is not said."""
        chat.tokens.on = False
        await chat.mark()
        found = await chat.seen("msg_id=m1")
        assert found.keys() == {"msg_id", "count", "receipts"}
        assert found["count"] == 1

    async def test_pages(self, chat: Api) -> None:
        """All readers come over the pages, each once, and the last page has no cursor."""
        chat.tokens.on = False
        for number in range(5):
            await chat.mark(reader_id=f"reader{number}")
        readers: list[str] = []
        cursor = ""
        for _ in range(3):
            page = await chat.seen(f"msg_id=m1&limit=2{cursor}")
            assert page["count"] == 5
            readers += [receipt["reader_id"] for receipt in page["receipts"]]
            cursor = f"&cursor={page['next_cursor']}" if "next_cursor" in page else ""
        assert readers == [f"reader{number}" for number in range(5)]
        assert cursor == ""

    async def test_many_messages(self, chat: Api) -> None:
        """Several ids are answered as a list in their order, an unknown one with nothing."""
        chat.tokens.on = False
        await chat.marked(2)
        found = await chat.seen("msg_id=m2&msg_id=x&msg_id=m1&msg_id=m2")
        assert [(page["msg_id"], page["count"]) for page in found["messages"]] == [
            ("m2", 1),
            ("x", 0),
            ("m1", 1),
        ]

    async def test_who_has_not_read(self, chat: Api) -> None:
        """In the order of their ids, over the pages, each once."""
        await chat.group("ann", "bob", *(f"u{n}" for n in range(5)))
        await chat.send("m1")
        await chat.read("m1", "bob", "u3")
        waiting: list[str] = []
        cursor = ""
        for _ in range(3):
            page = await chat.seen(f"msg_id=m1&unread=true&limit=2{cursor}", "ann's")
            assert (page["msg_id"], page["count"], page["member_count"]) == ("m1", 2, 6)
            waiting += page["unread"]
            cursor = f"&cursor={page['next_cursor']}" if "next_cursor" in page else ""
        assert waiting == ["u0", "u1", "u2", "u4"]
        assert cursor == ""

    async def test_unread_false_is_the_default(self, chat: Api) -> None:
        """It may be said."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        assert await chat.seen("msg_id=m1&unread=false") == await chat.seen("msg_id=m1")

    @pytest.mark.parametrize("token", ["bob's", "eve's"])
    async def test_only_the_sender_sees_them(self, chat: Api, token: str) -> None:
        """To others a message is as one that there is not; whoever it was sent to, too."""
        await chat.group("ann", "bob", "cid")
        await chat.send("m1")
        await chat.read("m1", "cid")
        known = await chat.seen("msg_id=m1", token)
        unknown = await chat.seen("msg_id=m2", token)
        assert known == unknown | {"msg_id": "m1"}
        assert known == {"msg_id": "m1", "count": 0, "receipts": []}

    @pytest.mark.parametrize("token", ["bob's", "eve's"])
    async def test_only_the_sender_sees_who_has_not_read(self, chat: Api, token: str) -> None:
        """The answer to others is the same, word for word, whether there is such a message."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        answers = [
            await chat.call(
                "GET", f"{V1}/messages/receipts?msg_id={msg_id}&unread=true", token=token
            )
            for msg_id in ("m1", "nothing")
        ]
        assert answers[0] == answers[1]
        assert (answers[0][0], answers[0][1]["code"]) == (404, "not_found")

    async def test_a_backend_asks_for_a_user(self, chat: Api) -> None:
        """Then it is shown what that user would be; without, everything."""
        await chat.group("ann", "bob", "cid")
        await chat.send("m1")
        await chat.read("m1", "cid")
        for more, count in (("", 1), ("&user_id=ann", 1), ("&user_id=bob", 0)):
            assert (await chat.seen(f"msg_id=m1{more}"))["count"] == count

    async def test_some_of_several_are_ones_own(self, chat: Api) -> None:
        """Registered or not, each message is shown by its own rule."""
        await chat.group("ann", "bob", "cid")
        await chat.send("mine")
        await chat.send("other's", sender_id="bob")
        await chat.read("mine", "cid")
        await chat.read("other's", "cid")
        chat.tokens.on = False
        await chat.mark(msg_id="my-plain", sender_id="ann", reader_id="cid")
        await chat.mark(msg_id="plain", sender_id="bob", reader_id="cid")
        chat.tokens.on = True
        query = "&".join(f"msg_id={each}" for each in ("mine", "other's", "my-plain", "plain"))
        found = await chat.seen(query, "ann's")
        assert [page["count"] for page in found["messages"]] == [1, 0, 1, 0]
        assert [len(page["receipts"]) for page in found["messages"]] == [1, 0, 1, 0]


class TestAudience:
    """What "of 10" counts, as docs/http.md has it."""

    @staticmethod
    async def count(api: Api) -> tuple[int, int, list[str]]:
        """Of m1: how many have read it, of how many, and who has not."""
        page = await api.seen("msg_id=m1&unread=true")
        assert (await api.seen("msg_id=m1"))["count"] == page["count"]
        return page["count"], page["member_count"], page["unread"]

    async def test_who_comes_later(self, chat: Api) -> None:
        """Changes nothing, is not waited for, and may not mark."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        await chat.group("ann", "bob", "eve")
        assert await self.count(chat) == (0, 1, ["bob"])
        body = {"msg_id": "m1", "reader_id": "eve"}
        status, _ = await chat.call("POST", f"{V1}/messages/read", json=body, token="eve's")
        assert status == 403

    async def test_who_leaves(self, chat: Api) -> None:
        """Is counted where they had read it, and nowhere else, until they do."""
        await chat.group("ann", "bob", "cid", "eve")
        await chat.send("m1")
        await chat.read("m1", "bob")
        await chat.group("ann", "eve")
        assert await self.count(chat) == (1, 2, ["eve"])
        await chat.read("m1", "cid")
        assert await self.count(chat) == (2, 3, ["eve"])
        await chat.good("DELETE", f"{V1}/messages/read", json={"msg_id": "m1", "reader_id": "cid"})
        assert await self.count(chat) == (1, 2, ["eve"])

    async def test_who_hides_and_leaves(self, chat: Api) -> None:
        """Had not read it, for all that others can see."""
        await chat.group("ann", "bob", "eve")
        await chat.send("m1")
        await chat.hide("bob")
        await chat.read("m1", "bob")
        assert await self.count(chat) == (0, 2, ["bob", "eve"])
        await chat.group("ann", "eve")
        assert await self.count(chat) == (0, 1, ["eve"])

    async def test_who_has_read_before_it_was_registered(self, chat: Api) -> None:
        """Is counted; whoever it was not sent to is not, nor shown."""
        await chat.group("ann", "bob")
        for reader_id in ("bob", "eve"):
            body = {**MESSAGE, "reader_id": reader_id}
            await chat.good("POST", f"{V1}/messages/read", json=body)
        await chat.send("m1")
        assert await self.count(chat) == (1, 1, [])
        [receipt] = (await chat.seen("msg_id=m1"))["receipts"]
        assert receipt["reader_id"] == "bob"


class TestUnread:
    async def test_counts(self, chat: Api) -> None:
        """In total and by conversation; those that are read are left out."""
        await chat.group("ann", "bob")
        await chat.group("ann", "bob", conversation_id="c2", kind="private")
        await chat.group("ann", "bob", conversation_id="c3")
        await chat.send("m1", "m2")
        await chat.send("m3", conversation_id="c2")
        await chat.read("m1", "bob")
        path = f"{V1}/messages/unread/count?user_id="
        assert await chat.good("GET", f"{path}bob", token="bob's") == {
            "user_id": "bob",
            "count": 2,
            "conversations": [
                {"conversation_id": "c1", "conversation_type": "group", "count": 1},
                {"conversation_id": "c2", "conversation_type": "private", "count": 1},
            ],
        }
        for user_id in ("ann", "nobody"):
            assert await chat.good("GET", path + user_id) == {
                "user_id": user_id,
                "count": 0,
                "conversations": [],
            }

    async def test_messages_in_pages(self, chat: Api) -> None:
        """The oldest first, over all conversations, each once; the last page says no offset."""
        await chat.group("ann", "bob")
        await chat.group("ann", "bob", conversation_id="c2")
        for number in (1, 3, 5, 2, 4):
            body = {
                "msg_id": f"m{number}",
                "conversation_id": f"c{number % 2 + 1}",
                "sender_id": "ann",
                "sent_at": 1_700_000_000 + number,
            }
            await chat.good("POST", f"{V1}/messages", json=body)
        found: list[str] = []
        offset: int | None = 0
        pages = 0
        while offset is not None:
            page = await chat.good(
                "GET", f"{V1}/messages/unread?user_id=bob&limit=2&offset={offset}", token="bob's"
            )
            assert page["user_id"] == "bob"
            found += [message["msg_id"] for message in page["messages"]]
            offset = page.get("next_offset")
            pages += 1
        assert (found, pages) == (["m1", "m2", "m3", "m4", "m5"], 3)

    async def test_messages_of_one_conversation(self, chat: Api) -> None:
        """With what a client needs to show them; beyond the end there is nothing."""
        await chat.group("ann", "bob")
        await chat.group("ann", "bob", conversation_id="c2")
        await chat.good("POST", f"{V1}/messages", json=MESSAGE | {"sent_at": 5})
        await chat.send("m2", conversation_id="c2")
        path = f"{V1}/messages/unread?user_id=bob"
        assert await chat.good("GET", f"{path}&conversation_id=c1") == {
            "user_id": "bob",
            "messages": [MESSAGE | {"sent_at": "1970-01-01T00:00:05Z"}],
        }
        for more in ("&conversation_id=nothing", "&offset=10000"):
            assert (await chat.good("GET", path + more))["messages"] == []


class TestReadConversation:
    async def test_everything(self, chat: Api) -> None:
        """How many receipts it made; again it makes none."""
        await chat.group("ann", "bob")
        await chat.send("m1", "m2", "m3")
        await chat.read("m2", "bob")
        body = {"user_id": "bob", "conversation_id": "c1"}
        for rows in (2, 0):
            document = await chat.good("POST", f"{V1}/conversations/read", json=body, token="bob's")
            assert document == {"success": True, "rows_affected": rows}

    async def test_up_to_a_message(self, chat: Api) -> None:
        """That one too, and nothing behind it."""
        await chat.group("ann", "bob")
        await chat.send("m1", "m2", "m3")
        body = {"user_id": "bob", "conversation_id": "c1", "up_to_msg_id": "m2"}
        document = await chat.good("POST", f"{V1}/conversations/read", json=body)
        assert document["rows_affected"] == 2
        left = await chat.good("GET", f"{V1}/messages/unread?user_id=bob")
        assert [message["msg_id"] for message in left["messages"]] == ["m3"]

    async def test_more_than_one_transaction_takes(self, chat: Api) -> None:
        """It goes on until all is read."""
        await chat.group("ann", "bob")
        messages = [MESSAGE | {"msg_id": f"m{n}"} for n in range(1000)]
        await chat.good("POST", f"{V1}/messages/batch", json={"messages": messages})
        body = {"user_id": "bob", "conversation_id": "c1"}
        document = await chat.good("POST", f"{V1}/conversations/read", json=body)
        assert document["rows_affected"] == 1000

    async def test_unknown_and_not_ones_own_are_one(self, chat: Api) -> None:
        """Whoever is no member learns nothing of a conversation, not by its messages either."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        answers = [
            await chat.call(
                "POST",
                f"{V1}/conversations/read",
                json={"user_id": "eve", "conversation_id": where, **more},
                token="eve's",
            )
            for where in ("c1", "nothing")
            for more in ({}, {"up_to_msg_id": "m1"}, {"up_to_msg_id": "nothing"})
        ]
        assert [status for status, _ in answers] == [403] * 6
        assert all(document == answers[0][1] for _, document in answers)

    async def test_up_to_a_message_of_elsewhere(self, chat: Api) -> None:
        """It is a 404, whether there is such a message or not."""
        await chat.group("ann", "bob")
        await chat.group("ann", conversation_id="c2")
        await chat.send("secret", conversation_id="c2")
        answers = [
            await chat.call(
                "POST",
                f"{V1}/conversations/read",
                json={"user_id": "bob", "conversation_id": "c1", "up_to_msg_id": msg_id},
                token="bob's",
            )
            for msg_id in ("secret", "nothing")
        ]
        assert answers[0] == answers[1]
        assert (answers[0][0], answers[0][1]["code"]) == (404, "not_found")


class TestWithdraw:
    BODY = {"msg_id": "m1", "reader_id": "bob"}  # noqa: RUF012 -- nobody changes it

    async def test_it_is_unread_again(self, chat: Api) -> None:
        """The receipt that is gone is answered; afterwards there is none, and may be another."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        await chat.read("m1", "bob")
        [receipt] = (await chat.seen("msg_id=m1"))["receipts"]
        document = await chat.good("DELETE", f"{V1}/messages/read", json=self.BODY, token="bob's")
        assert document == {"success": True, "receipt": receipt}
        assert (await chat.seen("msg_id=m1"))["count"] == 0
        await chat.read("m1", "bob")
        [another] = (await chat.seen("msg_id=m1"))["receipts"]
        assert another["id"] > receipt["id"]

    @pytest.mark.parametrize("msg_id", ["m1", "nothing"])
    async def test_there_is_none(self, chat: Api, msg_id: str) -> None:
        """It is a 404, whether there is such a message or not."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        status, document = await chat.call(
            "DELETE", f"{V1}/messages/read", json=self.BODY | {"msg_id": msg_id}, token="bob's"
        )
        assert status == 404
        assert document["error"] == "this reader has not marked this message"

    async def test_too_late(self, chat: Api) -> None:
        """After the window it is a 409 with a code of its own; at its end it is not."""
        chat.tokens.on = False
        await chat.mark(**self.BODY)
        chat.clock.advance(24 * 3600 + 1)
        status, document = await chat.call("DELETE", f"{V1}/messages/read", json=self.BODY)
        assert (status, document["code"]) == (409, "too_late")
        assert document["error"] == "a receipt may be taken back for 24 hours"
        chat.clock.advance(-1)
        await chat.good("DELETE", f"{V1}/messages/read", json=self.BODY)


class TestMissed:
    async def test_updates(self, chat: Api) -> None:
        """What is no plain receipt stands in a list of its own, with its type and its seq."""
        await chat.group("ann", "bob", "cid")
        await chat.send("m1")
        await chat.send("m2", sender_id="bob")
        await chat.read("m1", "bob")
        await chat.good("DELETE", f"{V1}/messages/read", json={"msg_id": "m1", "reader_id": "bob"})
        await chat.good(
            "POST",
            f"{V1}/conversations/read",
            json={"user_id": "bob", "conversation_id": "c1"},
        )
        at = "2024-01-01T00:00:00Z"
        here = {"msg_id": "m1", "conversation_id": "c1"}
        receipt = {**here, "reader_id": "bob", "read_at": at, "device_id": "", "read": 1, "of": 2}
        sender = await chat.good("GET", f"{V1}/users/ann/receipts", token="ann's")
        assert sender["receipts"] == [{"seq": 1, **receipt}, {"seq": 3, **receipt}]
        assert sender["updates"] == [
            {
                "seq": 2,
                "type": "read_withdrawn",
                **here,
                "at": at,
                "reader_id": "bob",
                "read": 0,
                "of": 2,
            }
        ]
        reader = await chat.good("GET", f"{V1}/users/bob/receipts", token="bob's")
        assert reader["receipts"] == []
        assert reader["updates"] == [
            {"seq": 1, "type": "read_self", **here, "at": at, "unread": 0},
            {"seq": 2, "type": "unread_self", **here, "at": at, "unread": 1},
            {"seq": 3, "type": "read_self", **here, "at": at, "unread": 0, "up_to": True},
        ]

    async def test_counts(self, database: str) -> None:
        """The sender of a message to many is told how many have read it, and no names."""
        async with chatting(database, aggregate_over=2) as api:
            await api.group("ann", "bob", "cid", "eve", "dan")
            await api.send("m1")
            await api.read("m1", "bob")
            page = await api.good("GET", f"{V1}/users/ann/receipts")
        assert page["receipts"] == []
        [count] = page["updates"]
        assert (count["type"], count["read"], count["of"]) == ("read_count", 1, 4)
        assert "reader_id" not in count

    async def test_pages_go_over_both(self, chat: Api) -> None:
        """A page has so many events of any kind, and the next begins behind them."""
        await chat.group("ann", "bob")
        await chat.send("m1", "m2")
        await chat.read("m1", "bob")
        await chat.good("DELETE", f"{V1}/messages/read", json={"msg_id": "m1", "reader_id": "bob"})
        await chat.read("m2", "bob")
        seqs: list[list[int]] = []
        page: dict[str, Any] = {}
        query = "limit=2"
        for _ in range(2):
            page = await chat.good("GET", f"{V1}/users/ann/receipts?{query}")
            both = [*page["receipts"], *page.get("updates", ())]
            seqs.append([event["seq"] for event in both])
            query = f"limit=2&epoch={page['epoch']}&after={page.get('next_after')}"
        assert seqs == [[1, 2], [3]]
        assert "next_after" not in page


class TestErase:
    async def test_nothing_is_left(self, chat: Api) -> None:
        """No answer names the person any more, and counts follow; again does no harm."""
        await chat.group("ann", "bob", "cid")
        await chat.send("m1")
        await chat.send("m2", sender_id="bob")
        await chat.read("m1", "bob", "cid")
        await chat.read("m2", "cid")
        await chat.hide("bob")
        for _ in range(2):
            assert await chat.good("DELETE", f"{V1}/users/bob") == {"success": True}
        shown = [
            await chat.good("GET", V1 + path)
            for path in (
                "/conversations/c1/members",
                "/messages/receipts?msg_id=m1&msg_id=m2",
                "/messages/receipts?msg_id=m1&unread=true",
                "/users/ann/receipts",
                "/users/cid/receipts",
                "/messages/unread?user_id=ann",
            )
        ]
        assert "bob" not in str(shown)
        assert [page["count"] for page in shown[1]["messages"]] == [1, 1]
        assert shown[1]["messages"][0]["member_count"] == 1
        assert [m["sender_id"] for m in shown[5]["messages"]] == ["(erased)"]
        settings = await chat.good("GET", f"{V1}/users/bob/settings")
        assert settings["send_receipts"] is None

    async def test_a_stranger(self, chat: Api) -> None:
        """Somebody who never was here is gone already."""
        assert await chat.good("DELETE", f"{V1}/users/nobody") == {"success": True}

    async def test_the_erased_are_not_erased(self, chat: Api) -> None:
        """The name that stands for them is nobody's."""
        status, document = await chat.call("DELETE", f"{V1}/users/(erased)", token=BACKEND)
        assert (status, document["code"]) == (400, "bad_request")
