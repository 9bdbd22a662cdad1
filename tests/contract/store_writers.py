"""Writers that get in each other's way: the same marks, in random order, in random batches."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from seenby.model import Event, Receipt
from tests.contract.store_adapters import NOW, mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seenby.model import Mark
    from seenby.store.sql import SqlStore
    from tests.contract.store_adapters import Adapter

SENDERS = [f"s{number}" for number in range(7)]
MESSAGES = 120


class Written(msgspec.Struct):
    """What one writer was answered.

    Attributes:
        receipts: by message; None where the mark was refused as a conflict.
        events: those it was told to publish, in order.
    """

    receipts: dict[str, Receipt | None]
    events: list[Event]


def contested() -> list[Mark]:
    """One mark per message, and for every tenth message another that names another sender."""
    true = [mark(f"m{number}", sender_id=SENDERS[number % 7]) for number in range(MESSAGES)]
    false = [
        mark(f"m{number}", sender_id=SENDERS[(number + 1) % 7]) for number in range(0, MESSAGES, 10)
    ]
    return true + false


def batches(marks: Sequence[Mark], seed: int) -> Iterator[list[Mark]]:
    """The marks in an order of this seed's own, up to 12 at once."""
    order = random.Random(seed)
    left = list(marks)
    order.shuffle(left)
    while left:
        size = order.randint(1, 12)
        yield left[:size]
        del left[:size]


def write(store: SqlStore, seed: int) -> Written:
    """Record all contested marks; a message's first answer that is a receipt is kept."""
    written = Written({}, [])
    for batch in batches(contested(), seed):
        recorded = store.record(batch, now=NOW + seed, lease=0.0)
        written.events += recorded.events
        for each, outcome in zip(batch, recorded.outcomes, strict=True):
            receipt = outcome if isinstance(outcome, Receipt) else None
            written.receipts[each.msg_id] = receipt or written.receipts.get(each.msg_id)
    return written


def write_apart(adapter: Adapter, seed: int) -> bytes:
    """The same with a store of one's own; the outcome as JSON, so that a process can return it."""
    with closing(adapter.open()) as store:
        return msgspec.json.encode(write(store, seed))


def combined(written: Sequence[Written]) -> dict[str, Receipt]:
    """All writers' answers: fails where two were answered differently, or nobody was."""
    receipts: dict[str, Receipt] = {}
    for each in written:
        for msg_id, receipt in each.receipts.items():
            if receipt is not None:
                assert receipts.setdefault(msg_id, receipt) == receipt
    assert len(receipts) == MESSAGES
    return receipts
