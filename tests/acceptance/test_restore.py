"""docs/howto/restore.md, done: marks, a backup, more marks, a loss, the page's commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.acceptance.devices import Api, Device
from tests.servers.guides import Shell, block

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Launch
    from tests.servers.mariadb import MariaDB

PAGE = "restore.md"
SQLITE, MARIADB = 1, 0
"""Which of two blocks under a heading is whose."""


class Place(NamedTuple):
    """Where the database is, and a shell in which the page is followed."""

    which: int
    settings: dict[str, str]
    shell: Shell


@pytest.fixture(params=["sqlite", "mariadb"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, mariadb_server: MariaDB, mariadb_url: str
) -> Place:
    """An SQLite file or a database on MariaDB, with the page's addresses made ours."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/seenby.db"
        which, instead = SQLITE, {}
    else:
        url, which = mariadb_url, MARIADB
        database = urlsplit(url).path.lstrip("/")
        connection = f"--host 127.0.0.1 --port {mariadb_server.port} --user {mariadb_server.user}"
        instead = {
            "--host db.example.com --user migrator": connection,
            "--host db.example.com --user seenby": connection,
            "EXISTS seenby": f"EXISTS {database}",
            "DATABASE seenby": f"DATABASE {database}",
            " seenby <": f" {database} <",
            " seenby >": f" {database} >",
        }
    shell = Shell(tmp_path, instead)
    shell.run(f"export SEENBY_DATABASE_URL={url} MYSQL_PWD={mariadb_server.password}")
    return Place(which, {"SEENBY_DATABASE_URL": url}, shell)


def shown(api: Api, *messages: str) -> set[tuple[str, str]]:
    """What a client that loads anew sees: message and reader of each receipt."""
    query = "&".join(f"msg_id={message}" for message in messages)
    status, answer = api.request("GET", f"/api/v1/messages/receipts?{query}&user_id=sender")
    assert status == 200
    documents: list[Any] = answer["messages"] if len(messages) > 1 else [answer]
    return {(doc["msg_id"], each["reader_id"]) for doc in documents for each in doc["receipts"]}


def test_a_restore_is_told_and_leads_to_what_is_there(launch: Launch, place: Place) -> None:
    """The client is reset, loads exactly what the backup had, and goes on from there."""
    seenby = launch("serve", "before", **place.settings)
    api = Api(seenby.api)
    with Device(seenby.gateway, "sender", "phone", hello={}) as phone:
        for number in (1, 2):
            api.mark(f"m{number}", "bob", "sender")
        place.shell.run(block(PAGE, "Back up", number=place.which))
        for number in (3, 4):
            api.mark(f"m{number}", "bob", "sender")
        phone.wait_receipts(4)
        phone.send({"type": "ack", "seq": 4})
        phone.send({"type": "ping"})
        phone.wait("pong", lambda d: bool(d.of("pong")))
    api.close()
    seenby.kill()

    place.shell.run(block(PAGE, "Restore", number=place.which))
    said = place.shell.run(block(PAGE, "Restore", number=2))
    assert re.search(r"^\w{8,}$", said, re.MULTILINE)
    assert "0 differences" in said

    seenby = launch("serve", "after", **place.settings)
    api = Api(seenby.api)
    [welcome] = phone.of("welcome")
    position = {"epoch": welcome["epoch"], "seq": 4}
    with Device(seenby.gateway, "sender", "phone", hello=position) as again:
        again.wait("reset", lambda d: bool(d.of("reset")))
        [reset] = again.of("reset")
        assert reset["epoch"] != welcome["epoch"]
        assert reset["seq"] == 2
        assert shown(api, "m1", "m2", "m3", "m4") == {("m1", "bob"), ("m2", "bob")}
        # A mark that was lost may come again, and its number is used again: in another epoch.
        api.mark("m3", "bob", "sender")
        again.wait_receipts(1)
    api.close()

    assert [(receipt["msg_id"], receipt["seq"]) for receipt in again.receipts] == [("m3", 3)]


def test_without_a_new_epoch_a_receipt_is_missed(launch: Launch, place: Place) -> None:
    """Why the page insists: the client trusts its number, and never learns of the receipt."""
    seenby = launch("serve", "before", **place.settings)
    api = Api(seenby.api)
    api.mark("m1", "bob", "sender")
    place.shell.run(block(PAGE, "Back up", number=place.which))
    with Device(seenby.gateway, "sender", "phone", hello={}) as phone:
        api.mark("m2", "bob", "sender")
        phone.wait_receipts(2)
    api.close()
    seenby.kill()
    place.shell.run(block(PAGE, "Restore", number=place.which))

    seenby = launch("serve", "after", **place.settings)
    api = Api(seenby.api)
    api.mark("m3", "bob", "sender")
    position = {"epoch": phone.of("welcome")[0]["epoch"], "seq": 2}
    with Device(seenby.gateway, "sender", "phone", hello=position) as again:
        again.send({"type": "ping"})
        again.wait("pong", lambda d: bool(d.of("pong")))
        assert again.of("welcome")[0]["resumed"]
    api.close()

    # m3 has got the seq that m2 had.
    assert again.receipts == []
