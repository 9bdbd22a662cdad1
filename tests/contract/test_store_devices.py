"""Devices on every adapter of the store: positions that never go back, and who is forgotten."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest

from seenby.errors import StoreRefused
from seenby.model import Position
from seenby.store.base import Ack, Device
from tests.contract.store_adapters import NOW, counts

if TYPE_CHECKING:
    from seenby.store.sql import SqlStore


def acknowledge(
    store: SqlStore, seq: int, *, user_id: str = "ann", device_id: str = "phone", now: int = NOW
) -> None:
    """One device has everything up to *seq* of the epoch in force."""
    store.acknowledge([Ack(user_id, device_id, Position(store.epoch(), seq))], now=now)


def position(store: SqlStore, user_id: str = "ann", device_id: str = "phone") -> Position | None:
    """Where one device stands."""
    return store.positions([(user_id, device_id)]).get((user_id, device_id))


class TestPositions:
    def test_an_acknowledged_position_is_kept(self, store: SqlStore) -> None:
        """Per user and device; devices that are not known are absent."""
        acknowledge(store, 7)
        acknowledge(store, 3, device_id="tablet")
        acknowledge(store, 1, user_id="zoe")

        asked = [("ann", "phone"), ("ann", "tablet"), ("zoe", "phone"), ("zoe", "tablet")]
        assert store.positions(asked) == {
            ("ann", "phone"): Position(store.epoch(), 7),
            ("ann", "tablet"): Position(store.epoch(), 3),
            ("zoe", "phone"): Position(store.epoch(), 1),
        }

    def test_no_devices_are_no_positions(self, store: SqlStore) -> None:
        """An empty question has an empty answer."""
        assert store.positions([]) == {}

    def test_a_device_may_have_no_name(self, store: SqlStore) -> None:
        """The empty device_id is an id like others."""
        acknowledge(store, 4, device_id="")
        assert position(store, device_id="") == Position(store.epoch(), 4)

    def test_devices_are_told_apart_byte_for_byte(self, store: SqlStore) -> None:
        """By case too, and by every printable character."""
        names = [*string.punctuation, "a", "A", "1", "01", 64 * "d", 63 * "d"]
        epoch = store.epoch()
        store.acknowledge(
            [Ack("ann", name, Position(epoch, seq)) for seq, name in enumerate(names)], now=NOW
        )
        assert store.positions([("ann", name) for name in names]) == {
            ("ann", name): Position(epoch, seq) for seq, name in enumerate(names)
        }
        assert store.positions([("ANN", "a")]) == {}

    def test_thousands_of_devices_are_one_question(self, store: SqlStore) -> None:
        """A gateway stores and asks for all its devices at once."""
        devices = [(f"u{number}", f"d{number % 7}") for number in range(3000)]
        at = Position(store.epoch(), 5)
        store.acknowledge([Ack(*device, at) for device in devices], now=NOW)
        assert store.positions(devices) == dict.fromkeys(devices, at)

    @pytest.mark.parametrize("seq", [0, 2**63 - 1])
    def test_any_seq_can_be_kept(self, store: SqlStore, seq: int) -> None:
        """The first and the last that there are."""
        acknowledge(store, seq)
        assert position(store) == Position(store.epoch(), seq)


class TestAcknowledge:
    def test_a_position_is_never_lowered_within_an_epoch(self, store: SqlStore) -> None:
        """A late acknowledgement of less changes nothing but when the device was seen."""
        acknowledge(store, 7, now=NOW)
        acknowledge(store, 3, now=NOW + 5)
        assert store.devices("ann") == [Device("phone", Position(store.epoch(), 7), NOW + 5)]
        acknowledge(store, 8, now=NOW + 6)
        assert store.devices("ann") == [Device("phone", Position(store.epoch(), 8), NOW + 6)]

    @pytest.mark.parametrize("order", [[3, 9, 5], [9, 3, 5], [5, 3, 9]])
    def test_of_several_in_one_batch_the_highest_counts(
        self, store: SqlStore, order: list[int]
    ) -> None:
        """Tabs that share a device_id are stored together."""
        epoch = store.epoch()
        store.acknowledge([Ack("ann", "phone", Position(epoch, seq)) for seq in order], now=NOW)
        assert position(store) == Position(epoch, 9)

    @pytest.mark.parametrize("epoch", ["", "0123456789abcdef", "x" * 32, "x" * 300])
    def test_another_epoch_is_ignored(self, store: SqlStore, epoch: str) -> None:
        """Its seqs count something else; what is known stays, beside what is good in the batch."""
        acknowledge(store, 2)
        current = store.epoch()
        store.acknowledge(
            [
                Ack("ann", "phone", Position(epoch, 99)),
                Ack("ann", "tablet", Position(epoch, 99)),
                Ack("ann", "watch", Position(current, 1)),
                Ack("ann", "phone", Position(current, 3)),
            ],
            now=NOW + 5,
        )
        assert store.devices("ann") == [
            Device("phone", Position(current, 3), NOW + 5),
            Device("watch", Position(current, 1), NOW + 5),
        ]

    def test_a_position_of_the_new_epoch_replaces_one_of_the_old(self, store: SqlStore) -> None:
        """Even a lower one: it counts anew; then it is not lowered either."""
        acknowledge(store, 50)
        epoch = store.new_epoch()
        acknowledge(store, 4, now=NOW + 1)
        assert position(store) == Position(epoch, 4)
        acknowledge(store, 2, now=NOW + 2)
        assert position(store) == Position(epoch, 4)

    def test_a_position_of_the_old_epoch_is_still_told(self, store: SqlStore) -> None:
        """With its epoch, so that whoever resumes there can be told to start anew."""
        acknowledge(store, 50)
        old = store.epoch()
        store.new_epoch()
        assert position(store) == Position(old, 50)

    def test_a_device_is_never_seen_earlier_than_before(self, store: SqlStore) -> None:
        """Clocks differ between gateways."""
        acknowledge(store, 1, now=NOW + 10)
        acknowledge(store, 2, now=NOW)
        assert store.devices("ann") == [Device("phone", Position(store.epoch(), 2), NOW + 10)]

    def test_nothing_to_store_is_no_work(self, store: SqlStore) -> None:
        """An empty batch changes nothing."""
        store.acknowledge([], now=NOW)
        assert counts(store)["devices"] == 0

    @pytest.mark.parametrize(
        ("user_id", "device_id"),
        [("u" * 65, "d"), ("u", "d" * 65), ("\u00fc", "d"), ("u", "d\u00e9")],
    )
    def test_what_does_not_fit_is_refused(
        self, store: SqlStore, user_id: str, device_id: str
    ) -> None:
        """Never cut or folded; nothing of the batch is stored."""
        at = Position(store.epoch(), 1)
        with pytest.raises(StoreRefused):
            store.acknowledge(
                [Ack("a", "fine", at), Ack(user_id, device_id, at), Ack("z", "fine", at)], now=NOW
            )
        assert counts(store)["devices"] == 0


class TestDevices:
    def test_a_users_devices_are_listed_by_name(self, store: SqlStore) -> None:
        """Byte by byte: capitals before small letters. Nobody else's are among them."""
        for device_id in ("b", "a", "B", "-"):
            acknowledge(store, 1, device_id=device_id)
        acknowledge(store, 1, user_id="zoe")
        assert [device.device_id for device in store.devices("ann")] == ["-", "B", "a", "b"]
        assert store.devices("nobody") == []

    def test_a_forgotten_device_is_as_one_never_seen(self, store: SqlStore) -> None:
        """Only that one goes, once; it may come back."""
        acknowledge(store, 7)
        acknowledge(store, 7, device_id="tablet")
        acknowledge(store, 7, user_id="zoe")

        assert store.forget_device("ann", "phone") is True
        assert store.forget_device("ann", "phone") is False
        assert store.forget_device("ann", "PHONE") is False

        assert position(store) is None
        assert position(store, device_id="tablet") is not None
        assert position(store, "zoe") is not None
        acknowledge(store, 2)
        assert position(store) == Position(store.epoch(), 2)

    def test_devices_not_seen_for_long_are_forgotten(self, store: SqlStore) -> None:
        """Those last seen before the time given, the longest unseen first, so many at once."""
        for age, device_id in enumerate(["e", "d", "c", "b", "a"]):
            acknowledge(store, 1, device_id=device_id, now=NOW + age)

        assert store.forget_devices(unseen_since=NOW, limit=10) == 0
        assert store.forget_devices(unseen_since=NOW + 4, limit=3) == 3
        assert [device.device_id for device in store.devices("ann")] == ["a", "b"]
        assert store.forget_devices(unseen_since=NOW + 4, limit=3) == 1
        assert store.forget_devices(unseen_since=NOW + 4, limit=3) == 0
        assert [device.device_id for device in store.devices("ann")] == ["a"]
