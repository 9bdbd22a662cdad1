"""Where a receipt is, asked of real processes: apart, killed, and without Kafka."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from seenby.bus.partitions import partition_of
from seenby.store.sql import open_store
from tests.acceptance.devices import Api, Device
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Launch
    from tests.servers.kafka import Kafka

CLOCK_MS = 60_000
"""Milliseconds after which a process that says nothing is lost."""


def inspect(api: Api, path: str) -> Any:
    """What an operator is answered."""
    status, document = api.request("GET", f"/api/v1/inspect/{path}")
    assert status == 200, document
    return document


def receipt_of(api: Api, msg_id: str) -> Any:
    """The one receipt of a message."""
    [receipt] = inspect(api, f"messages/{msg_id}")["receipts"]
    return receipt


def wait_for(what: str, look: Callable[[], Any], wanted: Any) -> None:
    """Return when it is so."""
    seen: list[Any] = [None]

    def is_so() -> bool:
        seen[0] = look()
        return bool(seen[0] == wanted)

    try:
        wait_until(what, is_so)
    except TimeoutError as error:
        raise AssertionError(f"{error}: {seen[0]}") from error


def states(receipt: Any) -> dict[str, tuple[str, str | None]]:
    """State and gateway of each device."""
    return {step["device_id"]: (step["state"], step["node"]) for step in receipt["devices"]}


def times(receipt: Any) -> list[Any]:
    """When it was published, and pushed to and acknowledged by each device."""
    devices = [(step["pushed"], step["acknowledged"]) for step in receipt["devices"]]
    return [receipt["recorded_at"], receipt["published"], devices]


def nodes(api: Api) -> dict[str, Any]:
    """The processes by name."""
    return {node["node"]: node for node in inspect(api, "overview")["nodes"]}


class TestApart:
    def test_a_receipt_over_two_apis_and_two_gateways(
        self, launch: Launch, servers: dict[str, str], migrated: None
    ) -> None:
        """Any API knows what the others know; a killed process is named, and lost in the end."""
        api, marker = launch("api", "api1", **servers), launch("api", "api2", **servers)
        one, two = launch("gateway", "one", **servers), launch("gateway", "two", **servers)
        with (
            closing(Api(api.api)) as looking,
            closing(Api(marker.api)) as marking,
            Device(one.gateway, "sender", "phone", hello={}) as phone,
            Device(two.gateway, "sender", "pc") as pc,
            Device(two.gateway, "sender", hello={}) as nameless,
        ):
            phone.wait("welcome", lambda d: bool(d.of("welcome")))
            nameless.wait("welcome", lambda d: bool(d.of("welcome")))
            wait_for(
                "all are connected",
                lambda: [
                    [session["node"] for session in device["sessions"]]
                    for device in inspect(looking, "users/sender")["devices"]
                ],
                [["two"], ["two"], ["one"]],
            )
            marking.mark("m1", "reader", "sender")
            for device in (phone, pc, nameless):
                device.wait_receipts(1)
            phone.send({"type": "ack", "seq": 1})
            wait_for(
                "both devices have said so",
                lambda: states(receipt_of(looking, "m1")),
                {
                    "": ("pushed", "two"),
                    "pc": ("acknowledged", "two"),
                    "phone": ("acknowledged", "one"),
                },
            )
            receipt = receipt_of(looking, "m1")
            assert receipt["published"]["state"] == "published"
            assert receipt["recorded_at"] <= receipt["published"]["at"]
            for step in receipt["devices"]:
                assert step["pushed"]["exact"]
                assert receipt["recorded_at"] <= step["pushed"]["at"]
                if step["device_id"]:
                    assert step["acknowledged"]["exact"]
                    assert step["pushed"]["at"] <= step["acknowledged"]["at"]
            assert [step["by_ping"] for step in receipt["devices"]] == [False, True, False]
            assert times(receipt_of(marking, "m1")) == times(receipt)

            part = partition_of("sender", 16)
            wait_for(
                "the rows say who is connected",
                lambda: {
                    name: (node["role"], node["connections"], node["partitions"])
                    for name, node in nodes(looking).items()
                },
                {
                    "api1": ("api", 0, None),
                    "api2": ("api", 0, None),
                    "one": ("gateway", 1, [part]),
                    "two": ("gateway", 2, [part]),
                },
            )

            with closing(Api(f"http://127.0.0.1:{one.gateway_port}")) as stranger:
                status, refused = stranger.request("GET", "/inspect/node?user_id=sender")
                assert (status, refused["code"]) == (401, "unauthenticated")

            one.kill()
            found = inspect(looking, "messages/m1")
            [missing] = found["missing"]
            assert (missing["node"], missing["why"]) == ("one", "it cannot be reached")
            # What was stored is known all the same; only the exact time went with the process.
            phone_now = found["receipts"][0]["devices"][2]
            assert phone_now["device_id"] == "phone"
            assert phone_now["state"] in {"acknowledged", "offline"}
            assert phone_now["pushed"] is None

            with closing(open_store(servers["SEENBY_DATABASE_URL"])) as store:
                store.connections.run(
                    lambda connection: connection.change(
                        f"UPDATE nodes SET seen = seen - {CLOCK_MS + 1} WHERE node = 'one'"
                    )
                )
            assert {name: node["lost"] for name, node in nodes(looking).items()} == {
                "api1": False,
                "api2": False,
                "one": True,
                "two": False,
            }
            assert "not seen" in inspect(looking, "users/sender")["missing"][0]["why"]
            two.stop()
            assert "two" not in nodes(looking)


def test_while_kafka_is_away(
    launch: Launch, servers: dict[str, str], migrated: None, restartable_kafka: Kafka
) -> None:
    """Recorded, waiting in the outbox, and pushed all the same; published when Kafka is back."""
    api, gateway = launch("api", **servers), launch("gateway", **servers)
    with (
        closing(Api(api.api)) as asking,
        Device(gateway.gateway, "sender", "phone", hello={}) as phone,
    ):
        asking.mark("m1", "reader", "sender")
        phone.wait_receipts(1)
        restartable_kafka.stop()
        wait_for("the gateway says it", lambda: nodes(asking)["gateway"]["bus"], False)
        asking.mark("m2", "reader", "sender")
        phone.wait_receipts(2, 60)
        receipt = receipt_of(asking, "m2")
        assert receipt["published"]["state"] == "waiting"
        assert receipt["published"]["at"] is None
        assert receipt["published"]["since"] is not None
        assert states(receipt) == {"phone": ("pushed", "gateway")}
        assert receipt_of(asking, "m1")["published"]["state"] == "published"
        assert inspect(asking, "overview")["outbox"]["rows"] == 1
        restartable_kafka.start()
        wait_for(
            "it is published",
            lambda: receipt_of(asking, "m2")["published"]["state"],
            "published",
        )
        assert receipt_of(asking, "m2")["published"]["at"] is not None
