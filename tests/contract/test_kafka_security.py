"""docs/howto/kafka-security.md on a real broker: what it shows works, and what is wrong is told.

The broker's settings, the user, its rights and seenby's settings are those of the page; the tests
go on from there.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import HTTPError

import pytest
from confluent_kafka import Producer

from tests.acceptance.devices import Api, Device
from tests.servers.certificates import DAY, Authority
from tests.servers.guides import Shell, block
from tests.servers.kafka import program
from tests.servers.kafka_secured import CLEAR, LOGIN, MUTUAL, STRANGE, USER, Secured
from tests.servers.seenby import Seenby, get
from tests.servers.wait import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Seenby]

pytestmark = pytest.mark.timeout(600)
"""Seconds: the page is followed with five Java programs, one after the other."""

PAGE = "kafka-security.md"
PASSWORD = "change-me"
TOPICS = ("read_receipt_events", "read_receipt_updates")


class Followed(NamedTuple):
    """The page, followed: a broker with a user, and settings that fit."""

    broker: Secured
    authority: Authority
    folder: Path
    shell: Shell
    settings: dict[str, str]
    created: str

    def at(self, listener: str, **more: str) -> dict[str, str]:
        """The page's settings on another listener, with *more*; "" takes one away."""
        brokers = self.broker.kafka.listeners[listener]
        changed = self.settings | {"KAFKA_BROKERS": brokers} | more
        return {name: value for name, value in changed.items() if value}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """Everything that the page tells to do, in its order."""
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder)
    lines = block(PAGE, "The broker", "properties").splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    # More listeners than the page has, one of them its own.
    assert "LOGIN:SASL_SSL" in properties.pop("listener.security.protocol.map")
    properties["ssl.keystore.location"] = str(folder / "keystore.pem")
    properties["ssl.truststore.location"] = str(authority.ca)
    broker = Secured(folder, authority, properties)
    try:
        (folder / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
        instead = {
            "localhost:9092": broker.kafka.brokers,
            "kafka-1.example.com:9094": broker.kafka.listeners[LOGIN],
            "/etc/seenby/kafka-password": str(folder / "password"),
            "/etc/seenby/kafka-ca.pem": str(authority.ca),
        }
        programs = {
            "kafka-configs.sh": program("kafka.admin.ConfigCommand"),
            "kafka-acls.sh": program("org.apache.kafka.tools.AclCommand"),
        }
        shell = Shell(folder, instead, programs)
        for number in range(3):
            shell.run(block(PAGE, "A user with few rights", number=number))
        created = shell.run(block(PAGE, "seenby"))
        broker.kafka.create_topic("group_msg", partitions=1)
        yield Followed(
            broker, authority, folder, shell, shell.environment("KAFKA_", "SEENBY_TOPIC"), created
        )
    finally:
        broker.dispose()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(settings)``: seenby in one process, which ends with the test."""
    started: list[Seenby] = []

    def make(settings: dict[str, str]) -> Seenby:
        started.append(Seenby("serve", tmp_path, settings))
        return started[-1].start()

    yield make
    for process in started:
        process.kill()


def ready(process: Seenby) -> dict[str, bool]:
    """What /ready says."""
    try:
        answer: dict[str, bool] = get(f"{process.api}/ready")
    except HTTPError as error:
        answer = json.load(error)
    return answer


def whys(process: Seenby, event: str = "publisher_unhealthy") -> list[str]:
    """The reasons that were logged."""
    return [line["why"] for line in process.log_lines() if line["event"] == event]


def why(process: Seenby) -> str:
    """Why there is no bus, once that is known; it is told once."""
    wait_until("it is told why", lambda: bool(whys(process)))
    [told] = whys(process)
    return told


def is_late(line: dict[str, Any]) -> bool:
    """Whether a line says that a broker without time was waited for, and nothing else."""
    late = ("no acknowledgement for", "no answer within", "timed out", "Timed out", "_TIMED_OUT")
    return any(words in line.get("why", "") for words in late)


def comes_through(process: Seenby, msg: str) -> None:
    """A mark is taken and pushed, whatever Kafka says."""
    api = Api(process.api)
    with Device(process.gateway, "sender", f"device-{msg}") as device:
        api.mark(msg, "reader", "sender")
        device.wait("the receipt", lambda d: msg in {each["msg_id"] for each in d.receipts})
    api.close()


def counts_one(process: Seenby, name: str, status: str) -> bool:
    """Whether a metric has counted one of this status."""
    return process.metric(name, status=status) == 1


def recovers(process: Seenby) -> None:
    """Kafka is spoken to again, and nothing waits for it."""
    wait_until("the bus is there", lambda: ready(process)["bus"])
    wait_until("all is published", lambda: process.metric("seenby_outbox_rows") == 0)
    comes_through(process, "afterwards")


class TestTheWay:
    def test_the_topics_are_created_as_shown(self, followed: Followed) -> None:
        """With the rights of the page and no others, and the answer is the page's."""
        assert followed.created == block(PAGE, "seenby", "text")

    def test_every_client_of_kafka_takes_it(self, followed: Followed, start: Start) -> None:
        """Publisher, feed, dead letters and messages: each goes by the login and its rights."""
        process = start(followed.settings)
        api = Api(process.api)
        api.request("PUT", "/api/v1/conversations/c", {"type": "group", "members": ["ann", "bob"]})
        message = {"msg_id": "m9", "group_id": "c", "sender_id": "ann"}
        other = Producer(
            {"bootstrap.servers": followed.broker.kafka.brokers, "partitioner": "fnv1a"}
        )
        with Device(process.gateway, "sender", "phone") as phone:
            other.produce("read_receipt_events", key="sender", value="no JSON")
            other.produce("group_msg", key="c", value=json.dumps(message))
            assert other.flush(PATIENCE) == 0
            api.mark("m1", "reader", "sender")
            phone.wait_receipts(1)
            for name, status in (
                ("read_receipt_events_published_total", "ok"),
                ("read_receipt_events_consumed_total", "ok"),
                ("read_receipt_events_consumed_total", "bad"),
                ("seenby_messages_registered_total", "ok"),
            ):
                wait_until(f"{name} {status}", partial(counts_one, process, name, status))
        api.close()

        well = {"ready": True, "store": True, "bus": True}
        wait_until("all is well", lambda: ready(process) == well)
        warnings = [line for line in process.log_lines() if line["level"] != "info"]
        assert [line["event"] for line in warnings if not is_late(line)] == ["records_undecodable"]

    @pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
    def test_other_logins(self, followed: Followed, start: Start, mechanism: str) -> None:
        """SCRAM by the shorter hash, and PLAIN as hosted Kafkas want it."""
        password = followed.broker.password
        if mechanism != "PLAIN":
            followed.broker.set_password(PASSWORD)
            password = PASSWORD
        process = start(
            followed.at(
                LOGIN,
                KAFKA_SASL_MECHANISM=mechanism,
                KAFKA_SASL_PASSWORD=password,
                KAFKA_SASL_PASSWORD_FILE="",
            )
        )
        recovers(process)

    def test_a_login_without_tls(self, followed: Followed, start: Start) -> None:
        """SASL_PLAINTEXT, for networks that nobody else is in."""
        process = start(
            followed.at(CLEAR, KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT", KAFKA_SSL_CA_FILE="")
        )
        recovers(process)

    def test_a_certificate_of_our_own(self, followed: Followed, start: Start) -> None:
        """TLS that asks the client for a certificate; its subject has the rights."""
        ours = followed.authority.certificate("client", password="opens")
        followed.broker.allow("CN=client", *TOPICS)
        process = start(
            {
                "KAFKA_BROKERS": followed.broker.kafka.listeners[MUTUAL],
                "KAFKA_SECURITY_PROTOCOL": "SSL",
                "KAFKA_SSL_CA_FILE": str(followed.authority.ca),
                "KAFKA_SSL_CERT_FILE": str(ours.cert),
                "KAFKA_SSL_KEY_FILE": str(ours.key),
                "KAFKA_SSL_KEY_PASSWORD": "opens",
            }
        )
        recovers(process)


class TestRefused:
    def test_a_wrong_password(self, followed: Followed, start: Start) -> None:
        """Marks go on, the log says why once, and it is mended at the broker alone."""
        process = start(
            followed.at(LOGIN, KAFKA_SASL_PASSWORD="other", KAFKA_SASL_PASSWORD_FILE="")
        )
        comes_through(process, "meanwhile")
        assert ready(process) == {"ready": False, "store": True, "bus": False}
        assert "invalid credentials" in why(process)
        assert "other" not in process.process.log.read_text(encoding="utf-8")
        followed.broker.set_password("other")
        try:
            recovers(process)
        finally:
            followed.broker.set_password(PASSWORD)

    def test_an_authority_that_is_not_the_brokers(self, followed: Followed, start: Start) -> None:
        """Whoever is not known is told nothing: neither a password nor a receipt."""
        other = Authority(followed.folder, "other")
        process = start(followed.at(LOGIN, KAFKA_SSL_CA_FILE=str(other.ca)))
        comes_through(process, "meanwhile")

        assert not ready(process)["bus"]
        assert "certificate verify failed" in why(process)

    def test_a_certificate_of_another_host(self, followed: Followed, start: Start) -> None:
        """Though the authority is the right one; once it is of the host, it is spoken to."""
        process = start(followed.at(STRANGE))
        comes_through(process, "meanwhile")

        assert not ready(process)["bus"]
        assert "certificate verify failed" in why(process)
        followed.broker.come_home()
        recovers(process)

    def test_a_certificate_that_expires(self, followed: Followed, start: Start) -> None:
        """A broker whose certificate went bad is not spoken to until it shows a good one."""
        process = start(followed.settings)
        wait_until("the bus is there", lambda: ready(process)["bus"])
        bad = followed.authority.certificate("expired", valid=-DAY)
        followed.broker.present(bad)
        try:
            wait_until(
                "it is told",
                lambda: any("certificate verify failed" in told for told in whys(process)),
            )
            comes_through(process, "meanwhile")
            assert not ready(process)["bus"]
        finally:
            followed.broker.present()
        recovers(process)

    def test_rights_that_are_missing(self, followed: Followed, start: Start) -> None:
        """It is told for which topic, and what to do; a right that is given is noticed."""
        followed.broker.set_password(PASSWORD, "guest")
        process = start(followed.at(LOGIN, KAFKA_SASL_USERNAME="guest"))
        comes_through(process, "meanwhile")

        def told() -> list[dict[str, Any]]:
            return [line for line in process.log_lines() if line["event"] == "topic_missing"]

        wait_until("it is told", lambda: {line["topic"] for line in told()} >= {*TOPICS})
        for line in told():
            assert "TOPIC_AUTHORIZATION_FAILED" in line["why"]
            assert line["topic"] == "group_msg" or "allow it" in line["todo"]
        followed.broker.allow("guest", *TOPICS)
        recovers(process)

    def test_what_creating_topics_says(self, followed: Followed) -> None:
        """The command ends with 1 and the reason, not only that nobody answered."""
        said = followed.shell.run(
            "KAFKA_SASL_PASSWORD_FILE= KAFKA_SASL_PASSWORD=other seenby topic create", expect=1
        )

        assert "invalid credentials" in said
        assert "other" not in said


def test_the_user_of_the_page_is_the_brokers() -> None:
    """What the tests add to the page's user is the page's user."""
    assert f"--entity-name {USER}" in block(PAGE, "A user with few rights")
