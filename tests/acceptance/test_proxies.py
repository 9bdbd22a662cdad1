"""docs/howto/proxies.md and tls.md: two gateways and an API behind a real nginx, by TLS."""

from __future__ import annotations

import http.client
import importlib
import json
import re
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from websockets.exceptions import InvalidStatus

from seenby.bus.partitions import partition_of
from seenby.store.schema import migrate
from tests.acceptance.devices import Api, Device, trusting
from tests.servers.certificates import Authority, Certificate
from tests.servers.guides import ROOT, Shell, block, blocks
from tests.servers.nginx import CONFIG, Nginx
from tests.servers.seenby import Seenby
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.kafka import Kafka
    from tests.servers.mariadb import MariaDB

# It has no types, and what is asked of it needs none.
yaml: Any = importlib.import_module("yaml")

ORIGIN = "https://chat.example.com"
USERS = [f"user{number}" for number in range(40)]
PARTITIONS = 16


class Site(NamedTuple):
    """What stands behind the proxy, and the way in."""

    nginx: Nginx
    api: Seenby
    gateways: dict[str, Seenby]
    tls: ssl.SSLContext

    @property
    def socket(self) -> str:
        """Where sockets connect."""
        return f"wss://localhost:{self.nginx.port}/ws"

    def client(self) -> Api:
        """Somebody who calls the API."""
        return Api(f"https://localhost:{self.nginx.port}", tls=self.tls)

    def part(self, user: str) -> int:
        """What the API tells this user."""
        api = self.client()
        status, answer = api.request("GET", f"/api/v1/gateway?user_id={user}")
        api.close()
        assert status == 200
        assert answer["url"] == "wss://chat.example.com/ws"
        part: int = answer["part"]
        return part

    def device(self, user: str, device: str, **more: object) -> Device:
        """A device of this user, with the part that it was told."""
        hello = {"batch": True} | more
        return Device(self.socket, user, device, hello=hello, tls=self.tls, part=self.part(user))

    def connections(self) -> dict[str, float]:
        """How many sockets each gateway has, as it says."""
        return {
            name: gateway.metric("seenby_connections")
            for name, gateway in self.gateways.items()
            if gateway.process.running
        }


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, mariadb_server: MariaDB, kafka_server: Kafka
) -> Iterator[Site]:
    """An API, two gateways, and nginx with deploy/nginx.conf."""
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder)
    certificate = authority.certificate("chat")
    url, topic = mariadb_server.database(), kafka_server.topic()
    migrate(url)
    for name in (topic, f"{topic}_updates"):
        kafka_server.create_topic(name, partitions=PARTITIONS)
    settings = {
        "SEENBY_DATABASE_URL": url,
        "KAFKA_BROKERS": kafka_server.brokers,
        "READ_RECEIPT_TOPIC": topic,
        "READ_RECEIPT_UPDATES_TOPIC": f"{topic}_updates",
        "SEENBY_GATEWAY_URL": "wss://chat.example.com/ws",
        "SEENBY_ALLOWED_ORIGINS": ORIGIN,
    }
    api = Seenby("api", folder, settings)
    gateways = {name: Seenby("gateway", folder, settings, name) for name in ("one", "two")}
    one, two = (f"127.0.0.1:{gateway.gateway_port}" for gateway in gateways.values())
    upstreams = {
        "server 127.0.0.1:8080;": f"server 127.0.0.1:{api.api_port};",
        # The second API is one that has died.
        "server 127.0.0.1:8090;": "server 127.0.0.1:1;",
        "server 127.0.0.1:8081 ": f"server {one} ",
        "server 127.0.0.1:8091 ": f"server {two} ",
    }
    nginx = Nginx(folder, certificate, upstreams)
    tls = trusting(authority.ca)
    try:
        for process in (api, *gateways.values()):
            process.start()
        yield Site(nginx.start(), api, gateways, tls)
    finally:
        for each in (api, *gateways.values()):
            each.kill()
        if hasattr(nginx, "process"):
            nginx.process.kill()
        mariadb_server.drop(url)


@pytest.fixture(autouse=True)
def both(site: Site) -> None:
    """Both gateways run at the start of each test, and nginx knows it."""
    for gateway in site.gateways.values():
        if not gateway.process.running:
            gateway.start()
            wait_until("nginx leads to both", lambda: leads_to(site) == len(site.gateways))


def leads_to(site: Site) -> int:
    """To how many gateways nginx leads."""
    before = len(site.nginx.asked())
    for part in range(PARTITIONS):
        with Device(site.socket, "ann", tls=site.tls, part=part):
            pass
    wait_until("all are logged", lambda: len(sockets(site, before)) == PARTITIONS)
    return len({gateway for _, gateway in sockets(site, before)})


class TestRouting:
    def test_a_part_is_a_gateway(self, site: Site) -> None:
        """All sockets of one part meet on one gateway, and both gateways have some."""
        before = len(site.nginx.asked())
        devices = [site.device(user, kind) for user in USERS for kind in ("phone", "pc")]
        for device in devices:
            device.wait("welcome", lambda d: bool(d.of("welcome")))
        wait_until("all are counted", lambda: sum(site.connections().values()) == len(devices))
        for device in devices:
            device.close()
        wait_until("all are logged", lambda: len(sockets(site, before)) == len(devices))
        places: dict[str, set[str]] = {}
        for part, gateway in sockets(site, before):
            places.setdefault(part, set()).add(gateway)

        assert len(places) == len({site.part(user) for user in USERS}) > 8
        assert all(len(gateways) == 1 for gateways in places.values())
        assert len(set.union(*places.values())) == 2

    def test_without_a_part_anywhere(self, site: Site) -> None:
        """A client that says no part is served, and not always by the same gateway."""
        before = len(site.nginx.asked())
        for number in range(30):
            with Device(site.socket, f"any{number}", tls=site.tls):
                pass
        wait_until("all are logged", lambda: len(sockets(site, before)) == 30)

        assert {part for part, _ in sockets(site, before)} == {"-"}
        assert len({gateway for _, gateway in sockets(site, before)}) == 2

    def test_a_receipt_goes_all_the_way(self, site: Site) -> None:
        """A mark by HTTPS comes to a silent client and to one that resumes, by WSS."""
        reader = site.client()
        with (
            Device(site.socket, "ann", "old", tls=site.tls, part=site.part("ann")) as old,
            site.device("ann", "new") as new,
        ):
            # A dead API stands in the list: each mark is answered all the same.
            for number in range(10):
                reader.mark(f"ann{number}", "bob", "ann")
            old.wait_receipts(10)
            new.wait_receipts(10)
        reader.close()

        assert old.seqs == new.seqs == list(range(1, 11))


def sockets(site: Site, before: int) -> list[tuple[str, str]]:
    """Part and gateway of each socket that has ended, from the log."""
    line = re.compile(r" GET /ws part=(\S+) 101 \S+ to=(?:\S+, )*(\S+)$")
    return [found.groups() for text in site.nginx.asked()[before:] if (found := line.search(text))]  # type: ignore[misc]


class TestComingAndGoing:
    def test_a_gateway_is_killed(self, site: Site) -> None:
        """Its clients come back by the same address, to the other one, and miss nothing."""
        reader = site.client()
        victims = gone(site, "kill", reader)
        reader.close()

        assert {closed for _, closed, _ in victims} == {1006}
        for before, _, after in victims:
            assert before + after == list(range(1, len(before) + len(after) + 1))
            assert after

    def test_a_gateway_is_drained(self, site: Site) -> None:
        """SIGTERM closes its sockets with 4000; the next connection goes to the other one."""
        reader = site.client()
        victims = gone(site, "stop", reader)
        reader.close()

        assert {closed for _, closed, _ in victims} == {4000}
        for before, _, after in victims:
            assert before + after == list(range(1, len(before) + len(after) + 1))
            assert after


def gone(site: Site, how: str, reader: Api) -> list[tuple[list[int], int, list[int]]]:
    """Take one gateway away; of each of its clients: seqs before, close code, seqs after."""
    # One in each part. Where a part goes depends on the gateways' ports, and of ten parts all go to
    # one gateway in some runs of a thousand.
    by_part = {partition_of(name, PARTITIONS): name for name in (f"{how}{n}" for n in range(200))}
    assert len(by_part) == PARTITIONS
    names = list(by_part.values())
    devices = {name: site.device(name, "phone") for name in names}
    for name, device in devices.items():
        reader.mark(f"{name}-1", "reader", name)
        device.wait_receipts(1)
    wait_until("all are counted", lambda: sum(site.connections().values()) == len(names))
    assert all(site.connections().values())
    leaving = site.gateways["one"]
    lost = site.connections()["one"]
    getattr(leaving, how)()
    wait_until("its clients know", lambda: len(closed(devices)) == lost)
    victims = []
    for name in closed(devices):
        device = devices.pop(name)
        code, _ = device.closed or (0, "")
        reader.mark(f"{name}-2", "reader", name)
        position = {"epoch": device.of("welcome")[0]["epoch"], "seq": device.seqs[-1]}
        with site.device(name, "phone", **position) as again:
            again.wait_receipts(1)
            assert again.of("welcome")[0]["resumed"]
        victims.append((device.seqs, code, again.seqs))
        device.close()
    for device in devices.values():
        assert device.closed is None
        device.close()
    return victims


def closed(devices: dict[str, Device]) -> list[str]:
    """Whose socket is closed."""
    return [name for name, device in devices.items() if device.closed is not None]


class TestPages:
    @pytest.mark.parametrize("page", ["proxies.md", "tls.md"])
    def test_what_is_shown_is_what_runs(self, page: str) -> None:
        """Each piece of nginx's configuration on a page stands so in deploy/nginx.conf."""
        shown = [block.text for block in blocks(page) if block.language == "nginx"]

        assert shown
        assert [text for text in shown if text not in CONFIG.read_text(encoding="utf-8")] == []

    def test_the_certificate_for_trying_out(self, site: Site, tmp_path: Path) -> None:
        """The page's command makes one that nginx takes, and a client that trusts it connects."""
        Shell(tmp_path, {}).run(block("tls.md", "Clients", number=1))
        made = Certificate(*(tmp_path / f"tls-{what}.pem" for what in ("cert", "key", "cert")))
        nginx = Nginx(tmp_path, made, site.nginx.instead).start()
        try:
            address = f"wss://localhost:{nginx.port}/ws"
            with Device(address, "ann", hello={}, tls=trusting(made.cert)) as device:
                device.wait("welcome", lambda d: bool(d.of("welcome")))
        finally:
            nginx.process.kill()

    def test_envoy_is_told_the_same(self) -> None:
        """Not run, but: routes in this order, by part, to these addresses, with these times."""
        envoy = yaml.safe_load((ROOT / "deploy/envoy.yaml").read_text(encoding="utf-8"))
        resources = envoy["static_resources"]
        [chain] = resources["listeners"][0]["filter_chains"]
        http = chain["filters"][0]["typed_config"]
        [host] = http["route_config"]["virtual_hosts"]
        routes = [
            (route["match"], route.get("route", {}).get("cluster", 404)) for route in host["routes"]
        ]
        clusters = {cluster["name"]: cluster for cluster in resources["clusters"]}
        ports = {
            name: [
                each["endpoint"]["address"]["socket_address"]["port_value"]
                for each in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
            ]
            for name, cluster in clusters.items()
        }
        socket = host["routes"][2]["route"]

        assert routes == [
            ({"prefix": "/api/v1/inspect"}, 404),
            ({"prefix": "/api/"}, "api"),
            ({"path": "/ws"}, "gateways"),
            ({"prefix": "/"}, 404),
        ]
        assert ports == {"api": [8080, 8090], "gateways": [8081, 8091]}
        assert clusters["gateways"]["lb_policy"] == "RING_HASH"
        assert socket["hash_policy"] == [{"query_parameter": {"name": "part"}}]
        assert (socket["timeout"], socket["idle_timeout"]) == ("0s", "120s")
        assert all(http[name] is True for name in ("normalize_path", "merge_slashes"))


class TestDoors:
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/metrics",
            "/health",
            "/ready",
            "/inspect",
            "/inspect/node",
            "/api/v1/inspect/overview",
            "/api/v1/%69nspect/overview",
            "/api/v1/x/../inspect/overview",
            "/api/v1//inspect/overview",
            "/ws/../metrics",
            "/api/../metrics",
            "/ws/",
            "/page/common.css",
        ],
    )
    def test_what_is_not_for_the_world(self, site: Site, path: str) -> None:
        """Metrics, health, operators' pages and their calls are not routed, however written."""
        status, _, _ = ask(site, "GET", path)

        assert status == 404

    def test_plain_http_leads_to_tls(self, site: Site) -> None:
        """Who comes without TLS is sent where there is some."""
        connection = http.client.HTTPConnection("127.0.0.1", site.nginx.plain_port, timeout=30)
        connection.request("GET", "/api/v1/gateway?user_id=ann", headers={"Host": "localhost"})
        answer = connection.getresponse()
        answer.read()
        connection.close()

        assert answer.status == 301
        assert answer.headers["Location"] == "https://localhost/api/v1/gateway?user_id=ann"

    def test_a_certificate_that_is_not_known(self, site: Site) -> None:
        """A client that trusts others does not speak to it, and old TLS is not spoken."""
        with pytest.raises(ssl.SSLCertVerificationError):
            Device(site.socket, "ann", tls=ssl.create_default_context())

    def test_origins_are_seenbys(self, site: Site) -> None:
        """The proxy passes them on: a page of ours connects, another one's is refused."""
        with Device(site.socket, "ann", tls=site.tls, origin=ORIGIN):
            pass
        with pytest.raises(InvalidStatus) as refused:
            Device(site.socket, "ann", tls=site.tls, origin="https://evil.example")
        assert refused.value.response.status_code == 403
        status, headers, _ = ask(site, "GET", "/api/v1/gateway?user_id=ann", {"Origin": ORIGIN})
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)

    def test_too_many_requests(self, site: Site, tmp_path: Path) -> None:
        """Beyond the limit of an address: 429 with a time, in seenby's form."""
        # An allowance that one machine uses up, and that does not grow in the time of a test.
        few = {"rate=100r/s": "rate=1r/m", "burst=200": "burst=2"}
        strict = Nginx(tmp_path, site.nginx.certificate, site.nginx.instead | few).start()
        try:
            answers = [ask(site, "GET", "/api/v1/nowhere", through=strict) for _ in range(4)]
        finally:
            strict.process.kill()

        assert [status for status, _, _ in answers] == [404, 404, 404, 429]
        _, headers, body = answers[-1]
        assert headers["Retry-After"] == "1"
        assert json.loads(body)["code"] == "too_many"

    def test_too_large_is_said_by_seenby(self, site: Site) -> None:
        """413 comes as JSON, with the limit that was passed."""
        status, _, body = ask(site, "POST", "/api/v1/messages/read", body=b" " * (65 * 1024))

        assert status == 413
        assert json.loads(body)["code"] == "too_large"

    def test_no_api_is_there(self, site: Site) -> None:
        """503 with a time, in seenby's form: clients try again."""
        site.api.process.stop()
        try:
            status, headers, body = ask(site, "GET", "/api/v1/gateway?user_id=ann")
        finally:
            site.api.start()

        assert (status, headers["Retry-After"]) == (503, "2")
        assert json.loads(body)["code"] == "unreachable"

    def test_nothing_secret_is_logged(self, site: Site) -> None:
        """Neither tokens nor the query, which has user ids."""
        token = "e30.e30.c2VjcmV0"
        ask(site, "GET", "/api/v1/gateway?user_id=hush", {"Authorization": f"Bearer {token}"})
        with Device(site.socket, "hush", tls=site.tls, token=token):
            pass
        wait_until("it is logged", lambda: " GET /ws " in site.nginx.asked()[-1])
        log = "\n".join(site.nginx.asked())

        assert token not in log
        assert "hush" not in log


def ask(
    site: Site,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    through: Nginx | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """One request by TLS, with its path as it stands."""
    connection = http.client.HTTPSConnection(
        "localhost", (through or site.nginx).port, timeout=30, context=site.tls
    )
    connection.request(method, path, body, {"Content-Type": "application/json"} | (headers or {}))
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.headers), content
