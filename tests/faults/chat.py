"""A chat that lives through the chaos: its backend, its members, its guests, and their book.

Whatever is not answered is asked again until it is, and each reader's requests come one after the
other. So for each message and reader the book says for certain what the database must hold in
the end.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Producer

from tests.acceptance.devices import Api
from tests.faults.chaos import PASSING
from tests.faults.link import PATIENCE, Gone, Socket

if TYPE_CHECKING:
    import random

    from confluent_kafka import Message

    from tests.faults.chaos import Ledger

    Pair = tuple[str, str]

SENDERS = ["sender0", "sender1"]
NAMED = [f"named{number}" for number in range(16)]
VEILED = [f"veiled{number}" for number in range(6)]
MOODY = [f"moody{number}" for number in range(3)]

HIDDEN = "veiled"
"""Readers whose name begins so hide before they read anything; nobody may ever be told it."""

AGGREGATE_OVER = 20

CONVERSATIONS: dict[str, tuple[str, list[str]]] = {
    "pair": ("private", ["sender0", "named0"]),
    "trio": ("group", ["sender1", "named1", "veiled0"]),
    "group": ("group", [*SENDERS, *NAMED[:5], *VEILED[:3], *MOODY[:2]]),
    "large": ("group", [*SENDERS, *NAMED, *VEILED, *MOODY]),
}
"""Type and members of each; guests come to the groups that are large enough to count a guest."""

CIRCLES = [
    [*SENDERS, *NAMED[:4], *VEILED[:2], MOODY[0]],
    [*NAMED[4:10], *VEILED[2:4], MOODY[1]],
    [*NAMED[10:], *VEILED[4:], MOODY[2]],
]
"""Who reads in which thread."""


class Sent(NamedTuple):
    """A message of a conversation."""

    msg_id: str
    conversation_id: str
    sender_id: str

    def was_sent_to(self, user_id: str) -> bool:
        """Whether a member who stays must have got it."""
        return user_id != self.sender_id and user_id in CONVERSATIONS[self.conversation_id][1]


class Book:
    """What the chat has done, as far as it was answered.

    Attributes:
        messages: registered.
        upcoming: about to be registered: whoever reads them may be early.
        on_topic: registered by the chat's own topic, some time.
        there: receipts that there must be, with their ids where these were answered.
        gone: receipts that were taken back.
        named: what a reader has read, or tried to, whose name was not hidden at the time.
        erased: people who must have left no trace.
        doubtful: what was asked for more than once, so that it may yet come late.
    """

    def __init__(self) -> None:
        self.messages: list[Sent] = []
        self.upcoming: list[Sent] = []
        self.on_topic: list[str] = []
        self.there: dict[Pair, int | None] = {}
        self.gone: set[Pair] = set()
        self.named: set[Pair] = set()
        self.erased: set[str] = set()
        self.doubtful: set[Pair] = set()

    def is_full(self) -> bool:
        """Whether there is something of everything."""
        return bool(self.there and self.gone and self.named and self.erased)

    def forget(self, user_id: str) -> None:
        """A person was erased."""
        self.erased.add(user_id)
        for pair in [*self.there, *self.gone]:
            if pair[1] == user_id:
                self.there.pop(pair, None)
                self.gone.discard(pair)

    def secret(self, pair: Pair) -> bool:
        """Whether nobody may be told that this reader has read this message."""
        msg_id, reader_id = pair
        if reader_id in MOODY:
            return pair not in self.named and msg_id.startswith("c-")
        return reader_id.startswith(HIDDEN)


class Part(threading.Thread):
    """Someone of the chat, who asks until there is an answer.

    Args:
        ledger: is told what may not be.
        book: keeps what was answered.
        chance: decides for it.
    """

    def __init__(self, ledger: Ledger, book: Book, chance: random.Random) -> None:
        super().__init__(daemon=True, name=f"{type(self).__name__}{next(ledger.numbers)}")
        self._ledger = ledger
        self._book = book
        self._chance = chance
        self._link: Api | None = None

    def run(self) -> None:
        """Go on until enough is done."""
        while not self._ledger.no_more_marks.is_set():
            try:
                self.act()
            except Exception as error:  # noqa: BLE001 -- whatever it is, the test must hear of it
                self._ledger.problem(f"{self.name}: {error!r}")
            self._ledger.no_more_marks.wait(self._chance.uniform(0, 0.2))
        self.end()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def act(self) -> None:
        """Do something."""
        raise NotImplementedError

    def end(self) -> None:
        """Nothing more will be done."""

    def ask(self, method: str, path: str, body: object = None) -> tuple[bool, int, Any]:
        """Whether it was asked again; status and answer."""
        again = False
        while not self._ledger.over.is_set():
            if self._link is None or self._chance.random() < 0.2:
                self.hang_up()
                self._link = Api(self._chance.choice(self._ledger.apis).api)
            try:
                status, answer = self._link.request(method, f"/api/v1/{path}", body)
            except (OSError, http.client.HTTPException) as error:
                self._link = None
                self._ledger.failed(type(error).__name__)
            else:
                if status == 200 or answer["code"] not in PASSING:
                    return again, status, answer
                self._ledger.failed(answer["code"])
            again = True
            time.sleep(0.05)
        raise TimeoutError(f"{method} {path} {body} was not answered")

    def must(self, method: str, path: str, body: object = None) -> Any:
        """The answer to what may not be refused."""
        _, status, answer = self.ask(method, path, body)
        if status != 200:
            self._ledger.problem(f"{self.name}: {method} {path} {body} was refused: {answer}")
        return answer

    # What readers do

    def mark(self, reader: str, sent: Sent) -> None:
        """Mark a message, and say as much about it as comes to mind."""
        again, _, answer = self.ask("POST", "messages/read", self._fields(reader, sent))
        if again:
            self._book.doubtful.add((sent.msg_id, reader))
        self._marked(reader, sent, answer)

    def _fields(self, reader: str, sent: Sent) -> dict[str, str]:
        fields = {"msg_id": sent.msg_id, "reader_id": reader, "device_id": f"{reader}-phone"}
        if sent in self._book.upcoming:
            # Not registered yet, perhaps.
            return fields | {"sender_id": sent.sender_id, "conversation_id": sent.conversation_id}
        if self._chance.random() < 0.3 and sent.sender_id in SENDERS:
            fields["sender_id"] = sent.sender_id
        if self._chance.random() < 0.3:
            fields["conversation_id"] = sent.conversation_id
        return fields

    def _marked(self, reader: str, sent: Sent, answer: Any) -> None:
        receipt = answer.get("receipt")
        if receipt is None:
            self._ledger.problem(f"{self.name}: {reader} may not mark {sent}: {answer}")
            return
        right = (sent.msg_id, reader, sent.conversation_id)
        if (receipt["msg_id"], receipt["reader_id"], receipt["conversation_id"]) != right:
            self._ledger.problem(f"{self.name}: {reader} marked {sent}, answered {receipt}")
        pair = (sent.msg_id, reader)
        before = self._book.there.get(pair)
        if before not in {None, receipt["id"]}:
            self._ledger.problem(f"{self.name}: {pair} was {before}, is {receipt['id']}")
        self._book.gone.discard(pair)
        self._book.there[pair] = receipt["id"]

    def read_all(self, reader: str, conversation_id: str, expected: list[Sent]) -> None:
        """Read a conversation, or up to a message of it."""
        body = {"user_id": reader, "conversation_id": conversation_id}
        if expected and self._chance.random() < 0.3:
            # Several register at once: of what was answered only the last is sure to be read.
            expected = [self._chance.choice(expected)]
            body["up_to_msg_id"] = expected[0].msg_id
        # What was taken back before is read again, if it is of this conversation.
        for pair in list(self._book.gone):
            if pair[1] == reader:
                self._book.gone.discard(pair)
        answer = self.must("POST", "conversations/read", body)
        if answer.get("rows_affected", 0) < 0:
            self._ledger.problem(f"{self.name}: {body} was answered {answer}")
        for sent in expected:
            self._book.there.setdefault((sent.msg_id, reader), None)

    def withdraw(self, reader: str, msg_id: str) -> None:
        """Take a receipt back."""
        body = {"msg_id": msg_id, "reader_id": reader}
        again, status, answer = self.ask("DELETE", "messages/read", body)
        if status != 200 and not (again and status == 404):
            self._ledger.problem(f"{self.name}: {body} could not be taken back: {answer}")
        self._book.there.pop((msg_id, reader), None)
        self._book.gone.add((msg_id, reader))


class Registrar(Part):
    """The chat's backend: registers messages, one by one, in batches, and by the topic.

    Args:
        ledger: see Part.
        book: see Part.
        chance: see Part.
        brokers: Kafka's; "" leaves the topic out.
        topic: the chat's own.
    """

    def __init__(
        self, ledger: Ledger, book: Book, chance: random.Random, brokers: str, topic: str
    ) -> None:
        super().__init__(ledger, book, chance)
        self._topic = topic
        self._producer: Producer | None = None
        if brokers:
            # What was not delivered is tried again until it is; the order of the ids is as given.
            settings: dict[str, Any] = {"bootstrap.servers": brokers, "enable.idempotence": True}
            self._producer = Producer(settings | {"log_level": 0})

    def act(self) -> None:
        """Register some messages of one conversation."""
        chance, book = self._chance, self._book
        conversation_id, (_, members) = chance.choice(list(CONVERSATIONS.items()))
        senders = [user for user in SENDERS if user in members]
        sent = [
            Sent(f"c-{next(self._ledger.numbers)}", conversation_id, chance.choice(senders))
            for _ in range(chance.randint(1, 12))
        ]
        if self._producer is not None and chance.random() < 0.15:
            for each in sent:
                self._produce(self._producer, each)
            self._producer.poll(0)
            return
        # Of a message to many the first reader would be told by name, were it not registered.
        early = sent if conversation_id != "large" and chance.random() < 0.5 else []
        book.upcoming += early
        if early:
            self._ledger.no_more_marks.wait(chance.uniform(0, 0.3))
        if len(sent) == 1:
            self.must("POST", "messages", sent[0]._asdict())
        else:
            body = {"messages": [each._asdict() for each in sent]}
            answer = self.must("POST", "messages/batch", body)
            for each, result in zip(sent, answer["results"], strict=True):
                if result.get("msg_id") != each.msg_id:
                    self._ledger.problem(f"{each} was not registered: {result}")
        book.messages += sent
        for each in early:
            book.upcoming.remove(each)

    def end(self) -> None:
        """All that was put into the topic is there."""
        if self._producer is not None and self._producer.flush(60) != 0:
            self._ledger.problem("the test's own records did not reach the topic")

    def _produce(self, producer: Producer, sent: Sent) -> None:
        def delivered(error: object, record: Message) -> None:
            # Without an offset it may not be there (kafka_publisher.py).
            if error is None and record.offset() is not None:
                self._book.on_topic.append(sent.msg_id)

        value = (
            f'{{"msg_id":"{sent.msg_id}","group_id":"{sent.conversation_id}",'
            f'"sender_id":"{sent.sender_id}","timestamp":{int(time.time())}}}'
        )
        producer.produce(self._topic, value, sent.conversation_id, on_delivery=delivered)


class Circle(Part):
    """Members who stay, and read in every way.

    Args:
        ledger: see Part.
        book: see Part.
        chance: see Part.
        users: who reads here.
    """

    def __init__(self, ledger: Ledger, book: Book, chance: random.Random, users: list[str]) -> None:
        super().__init__(ledger, book, chance)
        self._users = users
        self._hides = dict.fromkeys(users, False)

    def act(self) -> None:
        """One of them does something."""
        chance, book = self._chance, self._book
        user = chance.choice(self._users)
        dice = chance.random()
        if dice < 0.12 and user not in MOODY:
            conversation_id = chance.choice(_of(user))
            expected = [
                sent
                for sent in list(book.messages)
                if sent.conversation_id == conversation_id and sent.was_sent_to(user)
            ]
            self.read_all(user, conversation_id, expected)
        elif dice < 0.27:
            mine = [pair for pair in list(book.there) if pair[1] == user]
            # One that comes late, from whoever stood still, would be a new receipt.
            mine = [pair for pair in mine if pair not in book.doubtful]
            if mine:
                self.withdraw(user, chance.choice(mine)[0])
        elif dice < 0.4 and user in MOODY:
            hides = not self._hides[user]
            self.must("PUT", f"users/{user}/settings", {"send_receipts": not hides})
            self._hides[user] = hides
        elif dice < 0.45:
            self._look(user)
        else:
            self._mark_some(user)

    def _mark_some(self, user: str) -> None:
        chance, book = self._chance, self._book
        ways = [self._one_by_one, self._together, self._over_a_socket]
        choice = [sent for sent in (*book.messages[-40:], *book.upcoming) if sent.was_sent_to(user)]
        some = chance.sample(choice, min(len(choice), chance.randint(1, 5)))
        if not some:
            return
        if user in MOODY and not self._hides[user]:
            book.named.update((sent.msg_id, user) for sent in some)
        chance.choice(ways)(user, some)

    def _one_by_one(self, user: str, some: list[Sent]) -> None:
        for sent in some:
            self.mark(user, sent)

    def _together(self, user: str, some: list[Sent]) -> None:
        book, left = self._book, some
        while left:
            body = {"receipts": [self._fields(user, sent) for sent in left]}
            asked_again, _, answer = self.ask("POST", "messages/read/batch", body)
            results = answer["results"]
            again = []
            for sent, result in zip(left, results, strict=True):
                if asked_again or result.get("code") in PASSING:
                    book.doubtful.add((sent.msg_id, user))
                if result.get("code") in PASSING:
                    again.append(sent)
                else:
                    self._marked(user, sent, result)
            left = again

    def _over_a_socket(self, user: str, some: list[Sent]) -> None:
        """What the socket leaves unanswered is asked for over HTTP."""
        left = {sent.msg_id: sent for sent in some}
        with contextlib.suppress(Gone, OSError):
            link = Socket(
                self._chance.choice(self._ledger.gateways).gateway, {"user_id": user}, v1=True
            )
            try:
                link.send({"type": "hello"})
                end = time.monotonic() + PATIENCE
                while left and time.monotonic() < end:
                    for frame in link.frames():
                        if frame["type"] == "welcome":
                            for sent in some:
                                fields = self._fields(user, sent)
                                link.send({"type": "read", "ref": sent.msg_id, **fields})
                        elif frame["type"] == "read_result" and frame.get("code") not in PASSING:
                            self._marked(user, left.pop(frame["ref"]), frame)
                    link.confirm()
            finally:
                link.cut()
        self._book.doubtful.update((msg_id, user) for msg_id in left)
        self._one_by_one(user, list(left.values()))

    def _look(self, user: str) -> None:
        """Whoever asks who has read is not told of those who hide."""
        messages = self._book.messages[-99:]
        if not messages:
            return
        which = "&".join(f"msg_id={sent.msg_id}" for sent in messages)
        viewer = self._chance.choice(["", f"&user_id={self._chance.choice(SENDERS)}"])
        answer = self.must("GET", f"messages/receipts?{which}{viewer}&msg_id={messages[0].msg_id}")
        shown = {
            (receipt["msg_id"], receipt["reader_id"])
            for page in answer["messages"]
            for receipt in page["receipts"]
        }
        if any(pair[1].startswith(HIDDEN) for pair in shown):
            self._ledger.problem(f"hidden readers are shown: {shown}")
        counts = self.must("GET", f"messages/unread/count?user_id={user}")
        if any(each["count"] <= 0 for each in counts["conversations"]):
            self._ledger.problem(f"unread counts of {user}: {counts}")


class Guests(Part):
    """People who come, send, read, leave, and are erased; each is somebody new."""

    def act(self) -> None:
        """The whole stay of one guest."""
        chance, book = self._chance, self._book
        hides = chance.random() < 0.5
        guest = f"{HIDDEN if hides else 'named'}-guest{next(self._ledger.numbers)}"
        where = chance.choice(["group", "large"])
        # An erasure changes counts and tells nobody: not where the last count is looked at.
        ends = where == "group" and chance.random() < 0.6
        if hides:
            self.must("PUT", f"users/{guest}/settings", {"send_receipts": False})
        members = f"conversations/{where}/members"
        self.must("POST", members, {"add": [guest]})
        own = Sent(f"c-{next(self._ledger.numbers)}", where, guest)
        got = [
            Sent(f"c-{next(self._ledger.numbers)}", where, chance.choice(SENDERS)) for _ in range(4)
        ]
        for sent in (own, *got):
            self.must("POST", "messages", sent._asdict())
        book.messages += [own, *got]
        first, second, third, last = got
        self.mark(guest, first)
        if chance.random() < 0.5:
            self.mark(guest, second)
            self.withdraw(guest, second.msg_id)
        if chance.random() < 0.5:
            self.read_all(guest, where, [second, third])
        if chance.random() < 0.5:
            self.withdraw(guest, first.msg_id)
        self.must("POST", members, {"remove": [guest]})
        self.mark(guest, last)
        if ends:
            self.must("DELETE", f"users/{guest}")
            book.forget(guest)


def _of(user: str) -> list[str]:
    """The conversations of a member who stays."""
    return [where for where, (_, members) in CONVERSATIONS.items() if user in members]


def prepare(ledger: Ledger, book: Book, chance: random.Random) -> None:
    """Register the conversations, and let those hide who do."""
    backend = Part(ledger, book, chance)
    for where, (kind, members) in CONVERSATIONS.items():
        backend.must("PUT", f"conversations/{where}", {"type": kind, "members": members})
    for user in VEILED:
        backend.must("PUT", f"users/{user}/settings", {"send_receipts": False})
    backend.hang_up()
