"""What operators ask of the store: processes and their rows, and where a receipt's event is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from seenby.store.inspecting import CLOCKS_DIFFER_MS
from tests.contract.store_adapters import NOW, change, mark, numbered, rows

if TYPE_CHECKING:
    from seenby.model import Receipt
    from seenby.store.sql import SqlStore


def report(store: SqlStore, node: str = "n1", role: str = "gateway", **changes: str) -> None:
    """A process writes its row."""
    values = {"url": "http://10.0.0.1:8081", "ticket": "t", "numbers": "{}"} | changes
    store.inspecting.report(node, role, uptime_ms=5000, **values)


def age(store: SqlStore, ms: int) -> None:
    """Let so much time pass for all rows."""
    change(store, f"UPDATE nodes SET seen = seen - {ms}, started = started - {ms}")


class TestNodes:
    def test_a_process_is_known_by_what_it_wrote_last(self, store: SqlStore) -> None:
        """One row for each name and role; writing again replaces it whole."""
        report(store, numbers='{"marks":1}')
        report(store, url="http://10.0.0.2:8081", ticket="u", numbers='{"marks":2}')
        report(store, role="api", url="")
        api, gateway = store.inspecting.nodes()
        assert (api.node, api.role, api.url) == ("n1", "api", "")
        assert gateway.url == "http://10.0.0.2:8081"
        assert (gateway.ticket, gateway.numbers) == ("u", '{"marks":2}')

    def test_times_are_the_databases(self, store: SqlStore) -> None:
        """When it was seen and since when it runs; the age grows by itself."""
        report(store)
        [new] = store.inspecting.nodes()
        assert new.seen - new.started == 5000
        assert 0 <= new.unseen_ms < 30_000
        age(store, 100_000)
        [old] = store.inspecting.nodes()
        assert 100_000 <= old.unseen_ms < 130_000

    def test_who_ends_in_order_leaves_no_row(self, store: SqlStore) -> None:
        """Only its own goes, and going twice does no harm."""
        report(store, "n1")
        report(store, "n1", "api")
        report(store, "n2")
        for _ in range(2):
            store.inspecting.remove("n1", "gateway")
            kept = [(node.node, node.role) for node in store.inspecting.nodes()]
            assert kept == [("n1", "api"), ("n2", "gateway")]

    def test_who_is_gone_for_long_is_forgotten(self, store: SqlStore) -> None:
        """Those that write are not."""
        report(store, "gone")
        age(store, 100_000)
        report(store, "here")
        assert store.inspecting.forget(unseen_ms=100_000) == 1
        assert store.inspecting.forget(unseen_ms=100_000) == 0
        assert [node.node for node in store.inspecting.nodes()] == ["here"]


def receipts_of(store: SqlStore, msg_id: str) -> list[Receipt]:
    """Those that are shown by name."""
    [page] = store.receipts([msg_id], sender_id=None, after_id=0, limit=10)
    return page.receipts


class TestEvents:
    def test_the_place_of_a_receipt_in_its_senders_stream(self, store: SqlStore) -> None:
        """Found for each of those that were committed in the same ms, and for each reader."""
        store.record(numbered(3), now=NOW, lease=None)
        store.record([mark("ann-2", "eve")], now=NOW, lease=None)
        store.record([mark("b", "eve", "bob")], now=NOW, lease=None)
        found = [
            store.inspecting.seqs(receipts_of(store, msg_id)) for msg_id in ("ann-3", "ann-2", "b")
        ]
        assert found == [[3], [2, 4], [1]]
        assert store.inspecting.seqs([]) == []

    def test_what_is_not_kept_has_no_place(self, store: SqlStore) -> None:
        """Trimmed or erased: it is not there, and nothing else is taken for it."""
        store.record(numbered(2), now=NOW, lease=None)
        first, second = (receipts_of(store, f"ann-{n}")[0] for n in (1, 2))
        change(store, "UPDATE events SET msg_id = NULL, reader_id = NULL WHERE seq = 1")
        change(store, "DELETE FROM events WHERE seq = 2")
        assert store.inspecting.seqs([first, second]) == [None, None]
        assert store.inspecting.seqs([replace(first, read_at=NOW + 1)]) == [None]

    def test_a_batch_that_waits_is_found_by_any_of_its_events(self, store: SqlStore) -> None:
        """With who has taken it over, and for how long; of others nothing is said."""
        store.record(numbered(12), now=NOW, lease=30)
        now = rows(store, "SELECT created FROM outbox")[0][0]
        asked = [("ann", 1, now), ("ann", 12, now), ("ann", 2, now), ("ann", 13, now)]
        one, twelve, two, none = store.inspecting.waiting(asked)
        assert one == replace(twelve, leased_ms=one.leased_ms) if one and twelve else False
        assert one is not None
        assert two is not None
        assert (one.created, one.owner) == (now, "")
        assert 0 < one.leased_ms <= 30_000
        assert none is None
        change(store, "UPDATE outbox SET lease_until = 0, owner = 'n7#x'")
        [left] = store.inspecting.waiting(asked[:1])
        assert left is not None
        assert left.leased_ms <= 0
        assert left.owner == "n7#x"
        change(store, "DELETE FROM outbox")
        assert store.inspecting.waiting(asked[:2]) == [None, None]

    @pytest.mark.parametrize("user_id", ['a"b', "a\\b", "a%b_", "a'b", '["ann",1,""]', "x" * 64])
    def test_every_id_finds_its_own_batch(self, store: SqlStore, user_id: str) -> None:
        """Whatever stands in it, and no other's: neither a longer id nor one like a batch."""
        store.record([mark(sender_id=user_id)], now=NOW, lease=0)
        now = rows(store, "SELECT created FROM outbox")[0][0]
        others = [(user_id[1:], 1, now), ("ann", 1, now), (user_id, 11, now)]
        found, *nothing = store.inspecting.waiting([(user_id, 1, now), *others])
        assert found is not None
        assert nothing == [None, None, None]

    def test_clocks_may_differ_by_some_seconds(self, store: SqlStore) -> None:
        """The batch has the database's time, the event the instance's."""
        store.record([mark()], now=NOW, lease=0)
        now = rows(store, "SELECT created FROM outbox")[0][0]
        for off in (-CLOCKS_DIFFER_MS, CLOCKS_DIFFER_MS):
            [found] = store.inspecting.waiting([("ann", 1, now + off)])
            assert found is not None
