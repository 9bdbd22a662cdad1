"""docs/howto/mariadb.md on a real server: its settings, its users with few rights, and TLS."""

from __future__ import annotations

import configparser
import contextlib
import json
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pymysql
import pytest

from tests.acceptance.devices import Api, Device
from tests.servers.certificates import DAY, Authority
from tests.servers.guides import Shell, block
from tests.servers.mariadb import MariaDB, query
from tests.servers.seenby import Seenby, get
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Seenby]

PAGE = "mariadb.md"
DRIVERS = ("mysql+mysqldb", "mysql+pymysql")


class Followed(NamedTuple):
    """The page, followed: a server with its settings and users, and the address that fits."""

    server: MariaDB
    authority: Authority
    folder: Path
    shell: Shell
    url: str
    tls_url: str
    said: str


def options(heading: str, instead: dict[str, str]) -> Iterator[str]:
    """What stands in a block of the server's settings, as options of its program."""
    text = block(PAGE, heading, "ini")
    for theirs, ours in instead.items():
        text = text.replace(theirs, ours)
    parser = configparser.ConfigParser()
    parser.read_string(text)
    for name, value in parser["mysqld"].items():
        yield f"--{name.replace('_', '-')}={value}"


def statements(url: str, text: str) -> None:
    """Run a block of SQL."""
    query(url, *(part.strip() for part in text.split(";") if part.strip()))


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """Everything that the page tells to do, in its order."""
    folder = tmp_path_factory.mktemp("mariadb")
    authority = Authority(folder)
    certificate = authority.certificate("server")
    files = {
        "/etc/mysql/server-cert.pem": str(certificate.cert),
        "/etc/mysql/server-key.pem": str(certificate.key),
        "/etc/mysql/ca.pem": str(authority.ca),
    }
    server = MariaDB.launch([*options("The server's settings", {}), *options("TLS", files)])
    try:
        root = server.database()
        statements(root, block(PAGE, "Users", "sql"))
        at = f"127.0.0.1:{server.port}"
        shell = Shell(
            folder, {"db.example.com:3306": at, "/etc/seenby/db-ca.pem": str(authority.ca)}
        )
        said = shell.run(block(PAGE, "Users"))
        url = shell.environment("SEENBY_")["SEENBY_DATABASE_URL"]
        statements(root, block(PAGE, "TLS", "sql"))
        shell.run(block(PAGE, "TLS"))
        tls_url = shell.environment("SEENBY_")["SEENBY_DATABASE_URL"]
        yield Followed(server, authority, folder, shell, url, tls_url, said)
    finally:
        server.dispose()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(url, role)``: seenby on a database, which ends with the test."""
    started: list[Seenby] = []

    def make(url: str, role: str = "serve") -> Seenby:
        settings = {"SEENBY_DATABASE_URL": url, "SEENBY_STORE_RETRY": "1"}
        started.append(Seenby(role, tmp_path, settings, f"{role}-{len(started)}"))
        return started[-1].start()

    yield make
    for process in started:
        process.kill()


def with_driver(url: str, driver: str) -> str:
    """The address with its driver named."""
    return url.replace("mysql", driver, 1)


def test_the_schema_is_made_as_shown(followed: Followed) -> None:
    """By the user for it; the other one can check the counters."""
    assert followed.said == block(PAGE, "Users", "text")


class TestRights:
    @pytest.mark.parametrize("driver", DRIVERS)
    def test_everything_works_with_few_rights(
        self, followed: Followed, start: Start, driver: str
    ) -> None:
        """Marks, conversations, taking back, wishes, erasing, verify and a new epoch, by TLS."""
        url = with_driver(followed.tls_url, driver)
        process, gateway = start(url, "api"), start(url, "gateway")
        api = Api(process.api)
        name = driver.rpartition("+")[2]
        ann, bob, team = f"ann-{name}", f"bob-{name}", f"team-{name}"

        def ask(method: str, path: str, body: object = None) -> object:
            status, answer = api.request(method, f"/api/v1/{path}", body)
            assert status == 200, answer
            return answer

        with Device(gateway.gateway, ann, "phone", hello={}) as phone:
            ask("PUT", f"conversations/{team}", {"type": "group", "members": [ann, bob]})
            for number in (1, 2):
                message = {"msg_id": f"{name}{number}", "conversation_id": team, "sender_id": ann}
                ask("POST", "messages", message)
            api.mark(f"{name}1", bob, ann, team)
            phone.wait_receipts(1)
            phone.send({"type": "ack", "seq": 1})
            mark = {"msg_id": f"{name}1", "reader_id": bob}
            ask("DELETE", "messages/read", mark)
            phone.wait("it is taken back", lambda d: bool(d.of("read_withdrawn")))
        ask("POST", "conversations/read", {"user_id": bob, "conversation_id": team})
        ask("PUT", f"users/{bob}/settings", {"send_receipts": False})
        ask("POST", f"conversations/{team}/members", {"add": ["zoe"], "remove": []})
        ask("DELETE", f"users/{ann}/devices/phone")
        ask("DELETE", f"users/{bob}")
        api.close()
        said = followed.shell.run("seenby verify --repair; seenby epoch new")

        assert "0 differences" in said
        for each in (process, gateway):
            serious = [line for line in each.log_lines() if line["level"] != "info"]
            assert {line["event"] for line in serious} <= {"no_bus", "epoch_changed"}

    def test_tables_are_not_its_to_change(self, followed: Followed) -> None:
        """The user of the instances cannot create, alter or drop anything."""
        for statement in (
            "CREATE TABLE t (a INT)",
            "DROP TABLE receipts",
            "ALTER TABLE devices FORCE",
        ):
            said = denied(followed.tls_url, followed.authority.ca, statement)
            assert "denied" in said

    def test_only_by_tls(self, followed: Followed) -> None:
        """A user that REQUIREs SSL is not let in by an address without ssl_ca."""
        said = followed.shell.run(f"SEENBY_DATABASE_URL={followed.url} seenby verify", expect=1)

        assert "Access denied" in said


def denied(url: str, ca: Path, statement: str) -> str:
    """How the server refuses a statement."""
    parts = urlsplit(url)
    connection = pymysql.connect(
        host="127.0.0.1",
        port=parts.port or 0,
        user=parts.username,
        password=parts.password or "",
        database="seenby",
        ssl_ca=str(ca),
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        with pytest.raises(pymysql.err.OperationalError) as refused:
            cursor.execute(statement)
        return str(refused.value)


def test_the_settings_lose_no_commit(followed: Followed, start: Start) -> None:
    """The start has nothing to complain of, with the binary log on."""
    process = start(followed.tls_url)
    [[log_bin]] = query(followed.server.database(), "SELECT @@log_bin")

    assert log_bin == 1
    assert not [line for line in process.log_lines() if line["level"] != "info"]


class TestTls:
    @pytest.mark.parametrize("driver", DRIVERS)
    def test_an_authority_that_is_not_the_servers(self, followed: Followed, driver: str) -> None:
        """A server that anybody could be is not spoken to."""
        other = Authority(followed.folder, "other")
        url = with_driver(followed.tls_url, driver).replace(
            str(followed.authority.ca), str(other.ca)
        )
        said = followed.shell.run(f"SEENBY_DATABASE_URL='{url}' seenby verify", expect=1)

        assert "certificate" in said.lower()
        assert "change-me" not in said

    @pytest.mark.parametrize("fault", ["expired", "other host"])
    def test_a_certificate_that_is_not_good(self, followed: Followed, fault: str) -> None:
        """Neither after its time, nor of another host, though the authority is the right one."""
        if fault == "expired":
            bad = followed.authority.certificate("expired", valid=-DAY)
        else:
            bad = followed.authority.certificate("elsewhere", ("db.example.com",))
        server = MariaDB.launch([f"--ssl-cert={bad.cert}", f"--ssl-key={bad.key}"])
        try:
            url = f"{server.database()}?ssl_ca={followed.authority.ca}"
            said = [
                followed.shell.run(
                    f"SEENBY_DATABASE_URL='{with_driver(url, driver)}' seenby migrate", expect=1
                )
                for driver in DRIVERS
            ]
        finally:
            server.dispose()

        assert [text for text in said if not re.search("certificate|TLS|SSL", text)] == []

    def test_a_server_whose_certificate_goes_bad(self, followed: Followed, start: Start) -> None:
        """Marks are answered with 503 until it is good again, and then by themselves."""
        process = start(followed.tls_url)
        api = Api(process.api)
        api.mark("before", "reader", "sender")
        bad = followed.authority.certificate("server", valid=-DAY)
        followed.server.stop()
        followed.server.start()
        wait_until("it is away", lambda: not ready(process)["store"])
        assert bad.cert.exists()
        followed.authority.certificate("server")
        followed.server.stop()
        followed.server.start()
        wait_until("it is back", lambda: ready(process)["store"])
        api.mark("after", "reader", "sender")
        api.close()


def ready(process: Seenby) -> dict[str, bool]:
    """What /ready says."""
    try:
        answer: dict[str, bool] = get(f"{process.api}/ready")
    except HTTPError as error:
        answer = json.load(error)
    return answer
