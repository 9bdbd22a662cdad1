"""Who is shown what: hidden readers, and viewers who may see and who may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.api.conftest import BACKEND, chatting

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api

V1 = "/api/v1"
ALL = ("ann", "bob", "cid", "eve", "ghost")


async def shown(api: Api, *tokens: str) -> list[Any]:
    """Everything that can be asked about m1 and by whom, but for the ghost's own."""
    return [
        document
        for token in tokens
        for path in (
            "/messages/receipts?msg_id=m1",
            "/messages/receipts?msg_id=m1&msg_id=m2",
            "/users/ann/receipts",
            "/users/bob/receipts",
        )
        for _, document in [await api.call("GET", V1 + path, token=token)]
    ]


class TestHidden:
    @pytest.mark.parametrize("count_hidden", [False, True])
    @pytest.mark.parametrize("visible_to_members", [False, True])
    async def test_a_hidden_reader_has_no_name(
        self, database: str, count_hidden: bool, visible_to_members: bool
    ) -> None:
        """Not for the sender, a member, a backend: neither in receipts nor in any stream."""
        rules = {"count_hidden": count_hidden, "visible_to_members": visible_to_members}
        async with chatting(database, **rules) as api:
            await api.group(*ALL)
            await api.send("m1", "m2")
            await api.hide("ghost")
            await api.read("m1", "bob", "ghost")
            await api.read("m2", "ghost")
            found = await shown(api, BACKEND, "ann's", "bob's", "eve's")
            assert "ghost" not in str(found)
            assert "bob" in str(found)
            assert (await api.seen("msg_id=m1"))["count"] == 1 + count_hidden

    async def test_to_whom_is_waited_for_a_hidden_reader_has_not_read(self, database: str) -> None:
        """unread=true names them before and after: to leave them out would give them away."""
        async with chatting(database, count_hidden=True) as api:
            await api.group(*ALL)
            await api.send("m1")
            await api.hide("ghost")
            before = await api.seen("msg_id=m1&unread=true", "ann's")
            await api.read("m1", "ghost")
            after = await api.seen("msg_id=m1&unread=true", "ann's")
        assert before["unread"] == after["unread"] == ["bob", "cid", "eve", "ghost"]
        assert (before["count"], after["count"]) == (0, 1)

    async def test_a_group_of_four_counts_nobody_without_a_name(self, database: str) -> None:
        """In so small a group a count would be a name."""
        async with chatting(database, count_hidden=True) as api:
            await api.group("ann", "bob", "cid", "ghost")
            await api.send("m1")
            await api.hide("ghost")
            await api.read("m1", "ghost")
            assert (await api.seen("msg_id=m1"))["count"] == 0

    async def test_their_own_side_is_as_ever(self, chat: Api) -> None:
        """The reader's own counts go down, and the reader is answered with the receipt."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        await chat.hide("bob")
        body = {"msg_id": "m1", "reader_id": "bob"}
        document = await chat.good("POST", f"{V1}/messages/read", json=body, token="bob's")
        assert document["receipt"]["reader_id"] == "bob"
        counts = await chat.good("GET", f"{V1}/messages/unread/count?user_id=bob", token="bob's")
        assert counts["count"] == 0
        taken = await chat.good("DELETE", f"{V1}/messages/read", json=body, token="bob's")
        assert taken["receipt"] == document["receipt"]

    async def test_what_was_hidden_stays_hidden(self, chat: Api) -> None:
        """A later wish shows later receipts only, and hides no earlier ones."""
        await chat.group("ann", "bob")
        await chat.send("m1", "m2")
        await chat.hide("bob")
        await chat.read("m1", "bob")
        await chat.good("PUT", f"{V1}/users/bob/settings", json={"send_receipts": True})
        await chat.read("m2", "bob")
        await chat.hide("bob")
        found = await chat.seen("msg_id=m1&msg_id=m2")
        assert [len(page["receipts"]) for page in found["messages"]] == [0, 1]

    async def test_nobody_is_named_where_an_organisation_says_so(self, database: str) -> None:
        """Whatever users wish; and everybody is where it says the other."""
        for forced, named in ((False, 0), (True, 1)):
            async with chatting(database, forced=forced) as api:
                await api.group("ann", "bob")
                await api.send(f"m{named}")
                await api.good(
                    "PUT", f"{V1}/users/bob/settings", json={"send_receipts": not forced}
                )
                await api.read(f"m{named}", "bob")
                assert len((await api.seen(f"msg_id=m{named}"))["receipts"]) == named


class TestMembersSee:
    async def test_whoever_it_was_sent_to(self, database: str) -> None:
        """With SEENBY_RECEIPTS_VISIBLE_TO=members they see readers, and who has not read."""
        async with chatting(database, visible_to_members=True) as api:
            await api.group("ann", "bob", "cid")
            await api.send("m1")
            await api.read("m1", "bob")
            for token in ("ann's", "bob's", "cid's"):
                assert (await api.seen("msg_id=m1", token))["count"] == 1
                assert (await api.seen("msg_id=m1&unread=true", token))["unread"] == ["cid"]

    async def test_members_of_the_time_when_it_was_sent(self, database: str) -> None:
        """Who came later sees nothing; who has left since still does."""
        async with chatting(database, visible_to_members=True) as api:
            await api.group("ann", "bob", "cid")
            await api.send("m1")
            await api.read("m1", "bob")
            await api.group("ann", "bob", "eve")
            assert (await api.seen("msg_id=m1", "eve's"))["count"] == 0
            assert (await api.seen("msg_id=m1", "cid's"))["count"] == 1

    @pytest.mark.parametrize("more", ["", "&unread=true"])
    async def test_unknown_and_forbidden_are_one(self, database: str, more: str) -> None:
        """To others it is as if there were no such message."""
        async with chatting(database, visible_to_members=True) as api:
            await api.group("ann", "bob")
            await api.send("m1")
            known = await api.call("GET", f"{V1}/messages/receipts?msg_id=m1{more}", token="eve's")
            other = await api.call("GET", f"{V1}/messages/receipts?msg_id=m2{more}", token="eve's")
            assert str(known) == str(other).replace("m2", "m1")


class TestReciprocal:
    async def test_a_forbidden_message_is_as_unknown_as_ever(self, database: str) -> None:
        """Who hides is told the same of a message of others as of one that is not there."""
        async with chatting(database, reciprocal=True) as api:
            await api.group("ann", "bob")
            await api.send("m1")
            await api.hide("eve")
            found = [await api.seen(f"msg_id={each}", "eve's") for each in ("m1", "m9")]
            assert found[0] == found[1] | {"msg_id": "m1"}

    async def test_who_hides_sees_no_names(self, database: str) -> None:
        """In a large group how many, which gives nobody away; `names` says that there are some."""
        async with chatting(database, reciprocal=True) as api:
            await api.group(*ALL)
            await api.send("m1")
            await api.hide("ann")
            await api.read("m1", "bob", "cid")
            assert await api.seen("msg_id=m1", "ann's") == {
                "msg_id": "m1",
                "count": 2,
                "receipts": [],
                "member_count": 4,
                "names": False,
            }
            stream = await api.good("GET", f"{V1}/users/ann/receipts")
            assert stream["receipts"] == []
            assert {update["type"] for update in stream["updates"]} == {"read_count"}
            waiting = await api.seen("msg_id=m1&unread=true", "ann's")
            assert (waiting["unread"], waiting["names"]) == ([], False)

    async def test_in_a_small_one_not_even_how_many(self, database: str) -> None:
        """Of two, one is a name."""
        async with chatting(database, reciprocal=True) as api:
            await api.group("ann", "bob")
            await api.send("m1")
            await api.hide("ann")
            await api.read("m1", "bob")
            found = await api.seen("msg_id=m1", "ann's")
            assert (found["count"], found["receipts"], found["names"]) == (0, [], False)

    async def test_a_private_conversation_is_never_large(self, database: str) -> None:
        """However many are in it: what the stream does not count is not counted here."""
        async with chatting(database, reciprocal=True) as api:
            await api.group(*ALL, kind="private")
            await api.send("m1")
            await api.hide("ann")
            await api.read("m1", "bob")
            found = await api.seen("msg_id=m1", "ann's")
            assert (found["count"], found["names"]) == (0, False)

    async def test_past_the_last_receipt(self, database: str) -> None:
        """Where no receipt says which conversation it is, a wish for any of them holds."""
        async with chatting(database, reciprocal=True) as api:
            body = {"msg_id": "m1", "reader_id": "bob", "sender_id": "ann", "conversation_id": "c"}
            await api.good("POST", f"{V1}/messages/read", json=body)
            wish = {"send_receipts": False, "conversation_id": "c"}
            await api.good("PUT", f"{V1}/users/ann/settings", json=wish)
            found = await api.seen("msg_id=m1&cursor=999", "ann's")
            assert found == {"msg_id": "m1", "count": 0, "receipts": [], "names": False}

    async def test_others_see_as_ever(self, database: str) -> None:
        """Who sends their name sees names, and a backend that asks for nobody sees all."""
        async with chatting(database, reciprocal=True) as api:
            await api.group("ann", "bob")
            await api.send("m1")
            await api.read("m1", "bob")
            for token in ("ann's", BACKEND):
                found = await api.seen("msg_id=m1", token)
                assert [receipt["reader_id"] for receipt in found["receipts"]] == ["bob"]

    async def test_a_message_that_is_not_registered(self, database: str) -> None:
        """The same rule, by the conversation that its receipts name."""
        async with chatting(database, reciprocal=True) as api:
            body = {"msg_id": "m1", "reader_id": "bob", "sender_id": "ann", "conversation_id": "c"}
            await api.good("POST", f"{V1}/messages/read", json=body)
            wish = {"send_receipts": False, "conversation_id": "c"}
            await api.good("PUT", f"{V1}/users/ann/settings", json=wish)
            found = await api.seen("msg_id=m1", "ann's")
            assert found == {"msg_id": "m1", "count": 0, "receipts": [], "names": False}


class TestSettings:
    async def test_wishes(self, chat: Api) -> None:
        """In general and by conversation, each as it was said last; null is none."""
        path = f"{V1}/users/bob/settings"
        found: dict[str, Any] = {}
        nothing: dict[str, Any] = {"user_id": "bob", "send_receipts": None, "conversations": []}
        assert await chat.good("GET", path, token="bob's") == nothing
        for body in (
            {"send_receipts": False},
            {"send_receipts": False, "conversation_id": "c2"},
            {"send_receipts": True, "conversation_id": "c1"},
            {"send_receipts": True, "conversation_id": "c2"},
        ):
            found = await chat.good("PUT", path, json=body, token="bob's")
        assert found == await chat.good("GET", path)
        assert found == {
            "user_id": "bob",
            "send_receipts": False,
            "conversations": [
                {"conversation_id": "c1", "send_receipts": True},
                {"conversation_id": "c2", "send_receipts": True},
            ],
        }
        for conversation_id in ("c1", "c2", None):
            wish = {"send_receipts": None, "conversation_id": conversation_id}
            found = await chat.good("PUT", path, json=wish)
        assert found == nothing

    async def test_nobody_wishes_without_end(
        self, chat: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each mark of theirs reads all: one too many is a 400, while old ones may change."""
        monkeypatch.setattr("seenby.chat.WISHES_MAX", 1)
        path = f"{V1}/users/bob/settings"
        await chat.good("PUT", path, json={"send_receipts": True, "conversation_id": "c1"})
        await chat.good("PUT", path, json={"send_receipts": False})
        await chat.good("PUT", path, json={"send_receipts": False, "conversation_id": "c1"})
        more = {"send_receipts": True, "conversation_id": "c2"}
        status, document = await chat.call("PUT", path, json=more, token="bob's")
        assert (status, document["code"]) == (400, "refused")
        assert document["error"] == "a user may have wishes for 1 conversations"
        await chat.good("PUT", path, json=more | {"send_receipts": None})


class TestPolicy:
    PATH = f"{V1}/users/ghost/policy"

    async def test_what_applies_and_why(self, database: str) -> None:
        """Plain fields, and a sentence for a person for each."""
        async with chatting(database, count_hidden=True, reciprocal=True) as api:
            await api.group(*ALL)
            await api.hide("ghost")
            assert await api.good("GET", f"{self.PATH}?conversation_id=c1") == {
                "user_id": "ghost",
                "conversation_id": "c1",
                "send_receipts": False,
                "decided_by": "user",
                "counted_without_name": True,
                "sees_names": False,
                "why": [
                    "Receipts are not sent by name, as the user wishes for all conversations.",
                    "The user is counted without a name, as in every group of 5 and more.",
                    "The user sees no names, as their own is not sent (SEENBY_RECIPROCAL).",
                ],
            }
            found = await api.good("GET", self.PATH)
            assert (found["conversation_id"], found["counted_without_name"]) == ("", False)

    @pytest.mark.parametrize(
        ("rules", "wishes", "sends", "decided_by"),
        [
            ({}, [], True, "default"),
            ({}, [{"send_receipts": False}], False, "user"),
            (
                {},
                [{"send_receipts": False}, {"send_receipts": True, "conversation_id": "c1"}],
                True,
                "conversation",
            ),
            ({"forced": True}, [{"send_receipts": False}], True, "organisation"),
            ({"forced": False}, [{"send_receipts": True}], False, "organisation"),
        ],
    )
    async def test_who_decides(
        self,
        database: str,
        rules: dict[str, Any],
        wishes: list[dict[str, Any]],
        sends: bool,
        decided_by: str,
    ) -> None:
        """The organisation before the user, what is special before what is general."""
        async with chatting(database, **rules) as api:
            for wish in wishes:
                await api.good("PUT", f"{V1}/users/ghost/settings", json=wish)
            found = await api.good("GET", f"{self.PATH}?conversation_id=c1")
        assert (found["send_receipts"], found["decided_by"]) == (sends, decided_by)
        assert len(found["why"]) == 3

    async def test_whoever_is_no_member_learns_nothing_of_a_group(self, database: str) -> None:
        """Not whether there is one of that id, nor how large it is."""
        async with chatting(database, count_hidden=True) as api:
            await api.group(*ALL)
            await api.hide("sender")
            path = f"{V1}/users/sender/policy?conversation_id="
            there = await api.good("GET", f"{path}c1", token="sender's")
            not_there = await api.good("GET", f"{path}c2", token="sender's")
        assert there == not_there | {"conversation_id": "c1"}
        assert there["counted_without_name"] is False


class TestProbing:
    @pytest.mark.parametrize("accept", [True, False])
    async def test_a_message_of_others_is_no_message(self, database: str, accept: bool) -> None:
        """Where unregistered ones are refused, a user cannot tell: status, body and code agree."""
        async with chatting(database, accept_unregistered=accept) as api:
            await api.group("ann", "bob")
            await api.send("m1")

            async def mark(msg_id: str, token: str) -> tuple[int, Any]:
                body = {
                    "msg_id": msg_id,
                    "reader_id": "eve",
                    "sender_id": "x",
                    "conversation_id": "y",
                }
                return await api.call("POST", f"{V1}/messages/read", json=body, token=token)

            known, unknown = await mark("m1", "eve's"), await mark("m2", "eve's")
            assert known[0] == 403
            assert known[1]["error"] == "this message is not known, or was not sent to this reader"
            assert (known == unknown) is not accept
            # A backend may know.
            statuses = [(await mark(msg_id, BACKEND))[0] for msg_id in ("m1", "m2")]
            assert statuses == [403, 200 if accept else 404]

    async def test_in_a_batch_neither(self, database: str) -> None:
        """Its items are answered as a single mark is."""
        async with chatting(database, accept_unregistered=False) as api:
            await api.group("ann", "bob")
            await api.send("m1")
            items = [{"msg_id": msg_id, "reader_id": "eve"} for msg_id in ("m1", "m2")]
            document = await api.good(
                "POST", f"{V1}/messages/read/batch", json={"receipts": items}, token="eve's"
            )
            assert document["results"][0] == document["results"][1]
            assert document["results"][0]["code"] == "forbidden"
