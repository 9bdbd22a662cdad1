"""The public fakes keep the promises of the ports they stand for."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from seenby.errors import SeenbyError, StoreRefused, StoreUnavailable
from seenby.model import Mark, Position
from seenby.store.base import Ack, Want
from seenby.store.schema import migrate
from seenby.store.sql import open_store
from seenby.store.threads import StoreThreads
from seenby.testing import FailingStore, ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from seenby.store.base import Store

USERS = ("a", "b", "B", "c")
NOW = 1_704_067_200_000

# The fake's clock stands still and the real store's does not: no test lasts so long.
LEASE = 3600


class Both:
    """Asks a fake and a real store the same things, by chance, and compares the answers."""

    def __init__(self, real: Store, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = NOW
        self.fake: Store = FailingStore(ManualClock(1000.0))
        self.real = real
        self.epochs = {self.fake.epoch(): "E1", real.epoch(): "E1"}
        # Outbox ids in the fake and in the real store, in the order of their making.
        self.rows: list[tuple[int, int]] = []

    def ask(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """The fake's answer, if the real one's is the same."""
        fake = getattr(self.fake, name)(*args, **kwargs)
        real = getattr(self.real, name)(*args, **kwargs)
        assert self.shown(fake) == self.shown(real), name
        return fake

    def shown(self, answer: Any) -> Any:
        """An answer in plain values, with epochs by their number and without outbox ids."""
        plain = msgspec.json.encode(answer, enc_hook=lambda error: type(error).__name__).decode()
        for epoch, number in self.epochs.items():
            plain = plain.replace(f'"{epoch}"', f'"{number}"')
        value = msgspec.json.decode(plain)
        if isinstance(value, dict):
            value.pop("outbox_id", None)
        return value

    @property
    def user(self) -> str:
        """Any user."""
        return self.chance.choice(USERS)

    @property
    def device(self) -> str:
        """Any device."""
        return self.chance.choice(("phone", "Phone", ""))

    @property
    def mark(self) -> Mark:
        """Any mark; many are repeats, conflicts, or of one's own message."""
        msg_id = f"m{self.chance.randrange(30)}"
        return Mark(msg_id, self.user, self.user, f"c{self.chance.randrange(2)}", trace="t")

    def record(self) -> None:
        """The same marks in both, and the same published row deleted."""
        marks = [self.mark for _ in range(self.chance.randrange(4))]
        lease = self.chance.choice((None, 0, LEASE))
        done = [self.rows.pop(0)] if len(self.rows) > 3 else []
        fake, real = (
            store.record(marks, now=self.now, lease=lease, published=[row[place] for row in done])
            for place, store in enumerate((self.fake, self.real))
        )
        assert self.shown(fake) == self.shown(real)
        assert (fake.outbox_id is None) == (real.outbox_id is None)
        if fake.outbox_id is not None and real.outbox_id is not None:
            self.rows.append((fake.outbox_id, real.outbox_id))

    def read(self) -> None:
        """Heads, pages, and who has read what."""
        self.ask("heads", [self.user, self.user])
        self.ask("pages", [Want(self.user, self.chance.randrange(9), 3), Want(self.user, 0, 100)])
        sender = self.chance.choice((None, self.user))
        after = self.chance.randrange(5)
        self.ask("receipts", ["m1", self.mark.msg_id], sender_id=sender, after_id=after, limit=2)

    def acknowledge(self) -> None:
        """A position of the epoch in force, and one of another."""
        user, device, seq = self.user, self.device, self.chance.randrange(9)
        for store in (self.fake, self.real):
            position = Position(store.epoch(), seq)
            store.acknowledge([Ack(user, device, position)], now=self.now)
        self.ask("acknowledge", [Ack(user, device, Position("another", 3))], now=self.now)

    def devices(self) -> None:
        """Where they stand, and that some are forgotten."""
        user, device = self.user, self.device
        self.ask("devices", user)
        fake, real = (
            list(store.positions([(user, device), (user, "x")]).items())
            for store in (self.fake, self.real)
        )
        assert self.shown(fake) == self.shown(real)
        self.ask("forget_device", self.user, self.device)
        self.ask("forget_devices", unseen_since=self.now - 20, limit=100)

    def outbox(self) -> None:
        """The same batches are claimed, and the oldest row is released or deleted."""
        lease = self.chance.choice((0, LEASE))
        fake, real = (
            [self.shown(batch.events) for batch in store.claim(owner="n", lease=lease, limit=3)]
            for store in (self.fake, self.real)
        )
        assert fake == real
        change = self.chance.choice(("release", "discard"))
        for place, store in enumerate((self.fake, self.real)):
            getattr(store, change)([row[place] for row in self.rows[:1]])
        if change == "discard":
            del self.rows[:1]
        assert self.fake.outbox().rows == self.real.outbox().rows

    def trim(self) -> None:
        """What is old goes, in one piece."""
        self.ask("trim", before=self.now - 60, limit=1000)

    def new_epoch(self) -> None:
        """Now and then."""
        if self.chance.randrange(10) == 0:
            number = f"E{len(self.epochs)}"
            self.epochs |= {self.fake.new_epoch(): number, self.real.new_epoch(): number}

    def step(self) -> None:
        """Something, a little later."""
        self.now += self.chance.randrange(5)
        steps = (self.acknowledge, self.devices, self.outbox, self.trim, self.new_epoch)
        self.chance.choice((self.record, self.record, self.record, self.read, *steps))()


@pytest.mark.parametrize("seed", range(3))
def test_the_store_in_memory_answers_as_a_real_one(tmp_path: Path, seed: int) -> None:
    """Whatever is asked, in whatever order."""
    url = f"sqlite:///{tmp_path}/s.db"
    migrate(url)
    store = open_store(url, retry_seconds=1)
    both = Both(store, seed)
    for _ in range(150):
        both.step()
    store.close()


class TestFailingStore:
    def test_a_call_that_fails_has_done_nothing(self) -> None:
        """As with any store: all of a transaction or nothing of it."""
        store = FailingStore()
        marks = [Mark("m1", "user456", "user123", "c1"), Mark("bad", "user456", "user123", "c1")]
        store.failing = True
        with pytest.raises(StoreUnavailable):
            store.record(marks, now=NOW, lease=None)
        store.failing = False
        store.refused = {"bad"}
        with pytest.raises(StoreRefused):
            store.record(marks, now=NOW, lease=None)
        assert store.heads(["user123"])[1]["user123"].head == 0
        assert (store.failures, store.attempts, store.commits) == (1, [marks, marks], [])

    async def test_a_call_waits_until_it_may_go_on(self) -> None:
        """In its thread, so the loop goes on."""
        store = FailingStore()
        threads = StoreThreads(store)
        store.answering.clear()
        asked = asyncio.create_task(threads.read(store.epoch))
        await asyncio.sleep(0)
        assert not asked.done()
        store.answering.set()
        assert await asked == "epoch-1"
        await threads.close()
        assert store.closed

    def test_every_failure_is_one_that_stores_raise(self) -> None:
        """Nothing else may come out of a store."""
        store = FailingStore()
        store.failing = True
        for call in (store.ping, store.epoch, store.new_epoch, store.outbox):
            with pytest.raises(SeenbyError):
                call()
