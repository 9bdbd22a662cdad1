"""(a) The first minute of a newcomer: one command, the original document's curl, a socket."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.acceptance.devices import Api, Device
from tests.servers.seenby import get
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from tests.acceptance.conftest import Launch

CURL = (
    "curl -X POST http://localhost:8080/api/v1/messages/read"
    ' -H "Content-Type: application/json"'
    """ -d '{"msg_id": "test-msg-123", "reader_id": "user456", "sender_id": "user123","""
    """ "conversation_id": "conv789", "conversation_type": "private"}'"""
)
"""The original document's try-out, byte for byte."""


class TestTheOriginalsTryOut:
    def test_its_curl_reaches_a_silent_socket(self, launch: Launch, tmp_path: Path) -> None:
        """The original's curl is answered as it says, and a silent socket gets its frame.

        Port 8080 may be taken here, so curl's own settings lead localhost:8080 to our port.
        """
        seenby = launch("serve")
        curlrc = f'connect-to = "localhost:8080:127.0.0.1:{seenby.api_port}"\n'
        (tmp_path / ".curlrc").write_text(curlrc, encoding="ascii")
        with Device(seenby.gateway, "user123", "phone") as phone:
            answer = subprocess.run(
                shlex.split(CURL),
                capture_output=True,
                check=True,
                timeout=120,
                env={**os.environ, "CURL_HOME": str(tmp_path), "HOME": str(tmp_path)},
            )
            document = json.loads(answer.stdout)
            phone.wait_receipts(1)
            [frame] = phone.frames

        receipt = document["receipt"]
        assert document["success"] is True
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", receipt.pop("read_at"))
        assert isinstance(receipt.pop("id"), int)
        assert receipt == {
            "msg_id": "test-msg-123",
            "reader_id": "user456",
            "sender_id": "user123",
            "conversation_id": "conv789",
            "conversation_type": "private",
            "device_id": "",
        }
        assert frame.pop("timestamp") >= frame.pop("read_at") > 1_700_000_000
        assert frame == {
            "type": "read_receipt",
            "msg_id": "test-msg-123",
            "reader_id": "user456",
            "conversation_id": "conv789",
            "seq": 1,
        }

    def test_a_repeat_answers_the_first_receipt_and_tells_nobody(self, launch: Launch) -> None:
        """A second mark, from any device, answers the first receipt and pushes nothing."""
        seenby = launch("serve")
        api = Api(seenby.api)
        with Device(seenby.gateway, "sender") as device:
            first = api.mark("m1", "reader", "sender", device_id="phone")
            again = api.mark("m1", "reader", "sender", device_id="pc")
            api.mark("m2", "reader", "sender")
            device.wait_receipts(2)

        api.close()
        assert first == again
        assert [receipt["msg_id"] for receipt in device.receipts] == ["m1", "m2"]


class TestApartWithoutKafka:
    def test_api_and_gateway_meet_in_the_database(self, launch: Launch) -> None:
        """Without Kafka receipts come from the database, a second late; the start says so."""
        first = launch("serve", "migrator")
        first.stop()
        api, gateway = launch("api"), launch("gateway")
        reader = Api(api.api)
        with Device(gateway.gateway, "sender", "phone") as phone:
            for number in range(3):
                reader.mark(f"m{number}", "reader", "sender")
            phone.wait_receipts(3)

        reader.close()
        assert phone.seqs == [1, 2, 3]
        assert gateway.metric("seenby_outbox_rows") == 0
        for process, port in ((api, api.api_port), (gateway, gateway.gateway_port)):
            assert get(f"http://127.0.0.1:{port}/ready")["ready"] is True
            [line] = [line for line in process.log_lines() if line["event"] == "no_bus"]
            assert "KAFKA_BROKERS" in line["why"]


def positions(api: Api) -> set[int]:
    """Where the two devices of the sender stand; empty until both are known."""
    _, document = api.request("GET", "/api/v1/users/sender/devices")
    found = {device["device_id"]: device["seq"] for device in document["devices"]}
    return {found["phone"], found["pc"]} if found.keys() >= {"phone", "pc"} else set()


class TestEmbedded:
    def test_several_devices_and_one_that_was_offline(self, launch: Launch) -> None:
        """Each device of the sender gets each receipt once; one that was away gets it later."""
        seenby = launch("serve")
        api = Api(seenby.api)
        with (
            Device(seenby.gateway, "sender", "phone") as phone,
            Device(seenby.gateway, "sender", "pc", hello={}) as pc,
            Device(seenby.gateway, "somebody-else") as other,
        ):
            pc.wait("welcome", lambda d: bool(d.of("welcome")))
            for number in range(50):
                api.mark(f"m{number}", f"reader{number % 3}", "sender", conversation_type="group")
            phone.wait_receipts(50)
            pc.wait_receipts(50)
            pc.send({"type": "ack", "seq": 50})
            # The silent one says it by answering a ping, within a second or two.
            wait_until("both positions are stored", lambda: positions(api) == {50})

        with Device(seenby.gateway, "sender", "tablet", hello={"batch": True}) as tablet:
            tablet.wait_receipts(50)
            api.mark("m50", "reader", "sender")
            tablet.wait_receipts(51)
        with (
            Device(seenby.gateway, "sender", "pc", hello={}) as pc_again,
            Device(seenby.gateway, "sender", "phone") as phone_again,
        ):
            pc_again.wait_receipts(1)
            phone_again.wait_receipts(1)

        api.close()
        everything = list(range(1, 51))
        assert phone.seqs == everything
        assert pc.seqs == everything
        assert tablet.seqs == [*everything, 51]
        assert other.frames == []
        assert pc_again.seqs == [51]
        assert pc_again.of("welcome")[0]["resumed"] is True
        assert phone_again.seqs == [51]
        assert seenby.process.running
        assert seenby.metric("seenby_rescued_total") == 0

    def test_everything_survives_a_kill(self, launch: Launch) -> None:
        """What was answered before kill -9 is in the file, and is pushed after the restart."""
        seenby = launch("serve")
        api = Api(seenby.api)
        for number in range(20):
            api.mark(f"m{number}", "reader", "sender")
        seenby.kill()
        api.close()
        seenby.start()
        with Device(seenby.gateway, "sender", "phone") as phone:
            phone.wait_receipts(20)

        assert phone.seqs == list(range(1, 21))

    def test_drain_asks_every_client_to_come_back(self, launch: Launch) -> None:
        """SIGTERM closes every socket with 4000, and the process ends cleanly."""
        seenby = launch("serve")
        devices = [Device(seenby.gateway, f"user{number}") for number in range(20)]
        seenby.stop()
        for device in devices:
            device.wait("the close", lambda d: d.closed is not None)

        assert {device.closed[0] for device in devices if device.closed} == {4000}
        assert all(device.closed and device.closed[1] for device in devices)
        for device in devices:
            device.close()


def test_sockets_are_bounded_by_the_systems_hard_limit_only(launch: Launch) -> None:
    """A shell's lower limit of open files is raised at the start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1, 1024), hard))
    try:
        seenby = launch("serve")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limits = Path(f"/proc/{seenby.process.pid}/limits").read_text(encoding="ascii")
    [row] = [line.split() for line in limits.splitlines() if line.startswith("Max open files")]
    assert row[3] == row[4] == str(hard)
