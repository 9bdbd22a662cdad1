"""From the environment to settings: every form, every contradiction, every problem at once."""

from __future__ import annotations

import os
import re
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from seenby.config import is_loopback, load, read
from seenby.errors import ConfigError
from seenby.settings import Settings, variables

if TYPE_CHECKING:
    from pathlib import Path

EVERYWHERE = "0.0.0.0"  # noqa: S104 -- what load() must refuse, not an address to listen on
SECRET = "correct-horse-battery-staple-1234"
JWT = {"SEENBY_AUTH": "jwt", "SEENBY_JWT_SECRET": SECRET}
JWKS = {"SEENBY_AUTH": "jwt", "SEENBY_JWT_JWKS_URL": "https://id.example.com/keys"}


def problems(**environ: str) -> list[str]:
    """What load() finds wrong with these variables, one sentence each."""
    with pytest.raises(ConfigError) as refused:
        load(environ)
    return str(refused.value).split("\n")


class TestDefaults:
    def test_the_contracts_defaults_hold_when_nothing_is_set(self) -> None:
        """Contract, section 5: no setting is needed, and each name has its default."""
        settings = load({})
        assert settings.kafka_brokers == ""
        assert settings.kafka_enabled is True
        assert settings.topic == "read_receipt_events"
        assert settings.gateway_topic == "read_receipt_events"
        assert settings.updates_topic == "read_receipt_updates"
        assert settings.receipts_group == "gateway-read-receipts"
        assert settings.push_receipts is True
        assert settings.messages_group == "gateway-nodes"
        assert settings.messages_topic == "group_msg"
        assert settings.database_url == "sqlite:///seenby.db"
        assert (settings.api_host, settings.api_port) == ("127.0.0.1", 8080)
        assert (settings.gateway_host, settings.gateway_port) == ("127.0.0.1", 8081)
        assert settings.gateway_url == "ws://127.0.0.1:8081/ws"
        assert settings.auth == "off"
        assert settings.insecure is False
        assert settings.allowed_origins == ()
        assert settings.replay_limit == 10_000
        assert (settings.event_retention, settings.device_retention) == (30, 90)
        assert (settings.topic_partitions, settings.topic_replication) == (16, 3)
        assert settings.gateway_partitions == "demand"
        assert settings.log_format is None
        assert (settings.unregistered, settings.visible_to) == ("accept", "sender")
        assert (settings.sync_reader, settings.receipts_forced) == (True, None)
        assert (settings.count_hidden, settings.reciprocal) == (False, False)
        assert (settings.aggregate_over, settings.unread_window) == (1000, 24)
        assert settings.receipt_retention is None
        assert settings.warnings == ()

    @pytest.mark.parametrize(
        ("variable", "field", "text", "value"),
        [
            ("KAFKA_BROKERS", "kafka_brokers", "a:9092", "a:9092"),
            ("READ_RECEIPT_KAFKA_ENABLED", "kafka_enabled", "false", False),
            ("READ_RECEIPT_TOPIC", "topic", "t", "t"),
            ("KAFKA_READ_RECEIPT_TOPIC", "gateway_topic", "t", "t"),
            ("READ_RECEIPT_UPDATES_TOPIC", "updates_topic", "t", "t"),
            ("KAFKA_READ_RECEIPT_GROUP_ID", "receipts_group", "g", "g"),
            ("ENABLE_READ_RECEIPTS", "push_receipts", "false", False),
            ("KAFKA_GROUP_ID", "messages_group", "g", "g"),
            ("KAFKA_GROUP_MSG_TOPIC", "messages_topic", "t", "t"),
            ("SEENBY_DATABASE_URL", "database_url", "sqlite:///x.db", "sqlite:///x.db"),
            ("SEENBY_API_HOST", "api_host", "::1", "::1"),
            ("SEENBY_API_PORT", "api_port", "80", 80),
            ("SEENBY_GATEWAY_HOST", "gateway_host", "localhost", "localhost"),
            ("SEENBY_GATEWAY_PORT", "gateway_port", "0", 0),
            ("SEENBY_INSECURE", "insecure", "1", True),
            ("SEENBY_UNREGISTERED", "unregistered", "reject", "reject"),
            ("SEENBY_RECEIPTS_VISIBLE_TO", "visible_to", "members", "members"),
            ("SEENBY_SYNC_READER", "sync_reader", "false", False),
            ("SEENBY_RECEIPTS_FORCED", "receipts_forced", "off", "off"),
            ("SEENBY_COUNT_HIDDEN", "count_hidden", "true", True),
            ("SEENBY_RECIPROCAL", "reciprocal", "true", True),
            ("SEENBY_AGGREGATE_OVER", "aggregate_over", "0", 0),
            ("SEENBY_UNREAD_WINDOW", "unread_window", "1", 1),
            ("SEENBY_LOG_FORMAT", "log_format", "json", "json"),
            (
                "SEENBY_ALLOWED_ORIGINS",
                "allowed_origins",
                "https://a.example",
                ("https://a.example",),
            ),
        ],
    )
    def test_each_name_of_the_contract_sets_its_setting(
        self, variable: str, field: str, text: str, value: object
    ) -> None:
        """Contract, section 5: these names are fixed."""
        assert getattr(load({variable: text}), field) == value

    def test_the_gateway_reads_the_topic_that_is_written(self) -> None:
        """KAFKA_READ_RECEIPT_TOPIC is the gateway's name for the same topic."""
        assert load({"READ_RECEIPT_TOPIC": "t"}).gateway_topic == "t"

    def test_a_node_is_named_after_its_host_and_process(self) -> None:
        """Two processes never share a name in the outbox, whatever the host is called."""
        node = load({}).node
        assert node.endswith(f"-{os.getpid()}")
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", node)

    def test_a_hosts_name_may_have_any_form(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a node's name may not hold is replaced, and a long name is cut."""
        monkeypatch.setattr(socket, "gethostname", lambda: "bücher.example:" + "x" * 300)
        node = load({}).node
        assert re.fullmatch(r"b-cher\.example-x+-\d+", node)
        assert len(node) <= 64

    @pytest.mark.parametrize(
        ("host", "url"),
        [
            (EVERYWHERE, "ws://localhost:8081/ws"),
            ("::", "ws://localhost:8081/ws"),
            ("::1", "ws://[::1]:8081/ws"),
            ("10.0.0.7", "ws://10.0.0.7:8081/ws"),
        ],
    )
    def test_the_gateways_address_is_one_that_a_client_can_use(self, host: str, url: str) -> None:
        """The address to listen on is not always one to connect to."""
        assert load(JWT | {"SEENBY_GATEWAY_HOST": host}).gateway_url == url

    def test_an_empty_variable_is_not_set(self) -> None:
        """Compose files and charts set empty variables where they mean none."""
        empty = dict.fromkeys((variable.name for variable in variables()), " ")
        assert load(empty) == load({})

    def test_the_process_environment_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """load() without an argument reads what the process was started with."""
        monkeypatch.setenv("SEENBY_API_PORT", "18080")
        assert load().api_port == 18080

    @pytest.mark.parametrize(
        ("environ", "kafka"),
        [
            ({}, False),
            ({"KAFKA_BROKERS": "a:1"}, True),
            ({"KAFKA_BROKERS": "a:1", "READ_RECEIPT_KAFKA_ENABLED": "false"}, False),
            ({"READ_RECEIPT_KAFKA_ENABLED": "true"}, False),
        ],
    )
    def test_kafka_needs_brokers_and_may_be_switched_off(
        self, environ: dict[str, str], *, kafka: bool
    ) -> None:
        """Both of the original's variables have their say."""
        assert load(environ).kafka is kafka


class TestNames:
    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("SEENBY_DATABASE_URI", "SEENBY_DATABASE_URL"),
            ("SEENBY_ALOWED_ORIGINS", "SEENBY_ALLOWED_ORIGINS"),
            ("seenby_auth", "SEENBY_AUTH"),
            ("Seenby_Api_Port", "SEENBY_API_PORT"),
        ],
    )
    def test_an_unknown_name_is_refused_with_the_nearest_known_one(
        self, name: str, near: str
    ) -> None:
        """A slip in a name must not end in a default that nobody wanted."""
        assert problems(**{name: "x"}) == [
            f"{name} is not a setting of seenby; did you mean {near}?"
        ]

    def test_a_name_like_no_other_is_refused_without_a_hint(self) -> None:
        """A wrong hint is worse than none."""
        assert problems(SEENBY_ZZZZZZZZZZ="x") == ["SEENBY_ZZZZZZZZZZ is not a setting of seenby"]

    def test_names_of_others_are_not_looked_at(self) -> None:
        """The tests have a prefix of their own, and the rest of the environment is not ours."""
        others = {"SEENBY_TEST_MARIADB_URL": "x", "KAFKA_OPTS": "x", "SEENBYX": "x", "PATH": "x"}
        assert load(others) == load({})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SEENBY_API_PORT", "tcp://10.0.0.1:8080"),
            ("SEENBY_GATEWAY_PORT", "tcp://10.0.0.1:8081"),
            ("SEENBY_PORT", "udp://10.0.0.1:8080"),
            ("SEENBY_SERVICE_HOST", "10.0.0.1"),
            ("SEENBY_API_SERVICE_HOST", "10.0.0.1"),
            ("SEENBY_API_SERVICE_PORT", "8080"),
            ("SEENBY_API_SERVICE_PORT_HTTP", "8080"),
            ("SEENBY_API_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("SEENBY_API_PORT_8080_TCP_PROTO", "tcp"),
            ("SEENBY_API_PORT_8080_TCP_PORT", "8080"),
            ("SEENBY_API_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ],
    )
    def test_what_kubernetes_adds_for_a_service_is_skipped_with_a_warning(
        self, name: str, value: str
    ) -> None:
        """A Service called seenby-api must not keep its own pods from starting."""
        settings = load({name: value})
        assert (settings.api_port, settings.gateway_port) == (8080, 8081)
        assert [name in warning for warning in settings.warnings] == [True]
        assert value not in settings.warnings[0].replace(name, "")

    def test_a_port_that_is_no_address_is_not_taken_for_kubernetes(self) -> None:
        """Only Kubernetes' own form is skipped; a slip in our setting is still a slip."""
        assert problems(SEENBY_API_PORT="10.0.0.1:8080") == [
            "SEENBY_API_PORT must be a whole number from 0 to 65535"
        ]


class TestForms:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("KAFKA_BROKERS", "kafka"),
            ("KAFKA_BROKERS", "a:9092,b"),
            ("KAFKA_BROKERS", "a:9092,"),
            ("KAFKA_BROKERS", "a:0"),
            ("KAFKA_BROKERS", "a:65536"),
            ("KAFKA_BROKERS", "a:9092 b:9092"),
            ("KAFKA_BROKERS", "kafka://a:9092"),
            ("KAFKA_BROKERS", "2001:db8::1:9092,x"),
            ("KAFKA_BROKERS", "a:٩٠٩٢"),
            ("READ_RECEIPT_KAFKA_ENABLED", "maybe"),
            ("READ_RECEIPT_TOPIC", "read receipts"),
            ("READ_RECEIPT_TOPIC", "t" * 201),
            ("KAFKA_READ_RECEIPT_GROUP_ID", "grüppe"),
            ("SEENBY_DATABASE_URL", "postgresql://u:p@h/d"),
            ("SEENBY_DATABASE_URL", "mysql://user:password@host"),
            ("SEENBY_DATABASE_URL", "seenby.db"),
            ("SEENBY_API_HOST", "http://localhost"),
            ("SEENBY_API_HOST", "[::1]"),
            ("SEENBY_API_PORT", "65536"),
            ("SEENBY_API_PORT", "-1"),
            ("SEENBY_API_PORT", "80.5"),
            ("SEENBY_GATEWAY_URL", "http://chat.example.com/ws"),
            ("SEENBY_GATEWAY_URL", "ws://chat.example.com/ws?token=x"),
            ("SEENBY_GATEWAY_URL", "ws:///ws"),
            ("SEENBY_INSPECT_URL", "ws://10.0.0.5:8081"),
            ("SEENBY_INSPECT_URL", "http://10.0.0.5:8081?x=1"),
            ("SEENBY_INSPECT_URL", "http://user@10.0.0.5:8081"),
            ("SEENBY_NODE", "one/two"),
            ("SEENBY_AUTH", "JWT"),
            ("SEENBY_INSECURE", "2"),
            ("SEENBY_JWT_ALGORITHMS", "none"),
            ("SEENBY_JWT_ALGORITHMS", "HS256,none"),
            ("SEENBY_JWT_ALGORITHMS", "HS512"),
            ("SEENBY_JWT_LEEWAY", "61"),
            ("SEENBY_JWT_LEEWAY", "nan"),
            ("SEENBY_JWT_LEEWAY", "-1"),
            ("SEENBY_ALLOWED_ORIGINS", "*"),
            ("SEENBY_ALLOWED_ORIGINS", "null"),
            ("SEENBY_ALLOWED_ORIGINS", "https://a.example/"),
            ("SEENBY_ALLOWED_ORIGINS", "https://*.example"),
            ("SEENBY_ALLOWED_ORIGINS", "a.example"),
            ("SEENBY_ALLOWED_ORIGINS", "https://a.example:0"),
            ("SEENBY_ALLOWED_ORIGINS", "https://u:p@a.example"),
            ("SEENBY_EVENT_RETENTION", "0"),
            ("SEENBY_STORE_RETRY", "inf"),
            ("SEENBY_SESSION_BYTES", "1"),
            ("SEENBY_REPLAY_LIMIT", "0"),
            ("SEENBY_GATEWAY_PARTITIONS", "some"),
            ("SEENBY_TOPIC_PARTITIONS", "0"),
            ("SEENBY_LOG_FORMAT", "text"),
            ("SEENBY_LOG_LEVEL", "trace"),
        ],
    )
    def test_a_wrong_form_is_refused_in_words_without_the_value(
        self, name: str, value: str
    ) -> None:
        """The variable and the accepted form, and nothing of what was given."""
        [known] = [variable for variable in variables() if variable.name == name]
        assert problems(**{name: value}) == [f"{name} must be {known.accepted}"]

    @pytest.mark.parametrize(
        ("name", "field", "text", "value"),
        [
            ("KAFKA_BROKERS", "kafka_brokers", " a.b-c:9092 , [::1]:1 ", "a.b-c:9092,[::1]:1"),
            ("READ_RECEIPT_KAFKA_ENABLED", "kafka_enabled", "off", False),
            ("READ_RECEIPT_TOPIC", "topic", " t ", "t"),
            (
                "SEENBY_DATABASE_URL",
                "database_url",
                "mysql+pymysql://u:p%40w@h:3306/d?ssl=1",
                "mysql+pymysql://u:p%40w@h:3306/d?ssl=1",
            ),
            (
                "SEENBY_DATABASE_URL",
                "database_url",
                "sqlite:////var/lib/my data/seenby.db",
                "sqlite:////var/lib/my data/seenby.db",
            ),
            ("SEENBY_GATEWAY_URL", "gateway_url", "wss://c.example/ws", "wss://c.example/ws"),
            ("SEENBY_INSPECT_URL", "inspect_url", "https://gw.example/a", "https://gw.example/a"),
            ("SEENBY_JWT_LEEWAY", "jwt_leeway", "0.5", 0.5),
            (
                "SEENBY_ALLOWED_ORIGINS",
                "allowed_origins",
                "HTTPS://A.example:443, http://b.example:8080 , http://[::1]:80,app://x,",
                ("https://a.example", "http://b.example:8080", "http://[::1]", "app://x"),
            ),
        ],
    )
    def test_what_is_accepted_is_brought_into_one_form(
        self, name: str, field: str, text: str, value: object
    ) -> None:
        """Spaces at the ends mean nothing; an origin is compared as browsers send it."""
        assert getattr(load({name: text}), field) == value

    @pytest.mark.parametrize("name", [variable.name for variable in variables()])
    def test_no_error_holds_the_value_of_any_variable(self, name: str) -> None:
        """A password in the wrong variable is a slip that must not end up in a log."""
        with pytest.raises(ConfigError) as refused:
            load({name: f"mysql://root:{SECRET}@h\u2028", "SEENBY_SLIP": SECRET})
        assert SECRET not in "".join(traceback.format_exception(refused.value))

    def test_settings_hide_their_secrets(self, tmp_path: Path) -> None:
        """A settings object that is logged by a slip shows no secret, no key and no password."""
        environ = JWT | {"SEENBY_DATABASE_URL": "mysql://u:hunter2@h/d"}
        shown = repr(load(environ))
        assert SECRET not in shown
        assert "hunter2" not in shown

    def test_settings_do_not_change(self) -> None:
        """What was checked stays as it was checked."""
        field: Any = "api_port"
        with pytest.raises(ValidationError):
            setattr(load({}), field, 1)

    def test_every_variable_is_explained(self) -> None:
        """A sentence on what it is for, a form in words, and a name of its own."""
        known = variables()
        assert len({variable.name for variable in known}) == len(known)
        for variable in known:
            assert variable.description.endswith("."), variable.name
            assert variable.accepted, variable.name


class TestTogether:
    def test_all_problems_are_told_at_once(self) -> None:
        """Each on a line of its own that names its variable: one start shows them all."""
        found = problems(
            SEENBY_AUHT="jwt",
            KAFKA_BROKERS="kafka",
            SEENBY_API_PORT="x",
            SEENBY_API_HOST=EVERYWHERE,
            SEENBY_JWT_SECRET="short",
        )
        assert [sentence.split(" ")[0] for sentence in found] == [
            "SEENBY_AUHT",
            "KAFKA_BROKERS",
            "SEENBY_API_PORT",
            "SEENBY_API_HOST",
            "the",
        ]
        assert "SEENBY_JWT_SECRET" in found[-1]

    @pytest.mark.parametrize("name", ["SEENBY_API_HOST", "SEENBY_GATEWAY_HOST"])
    @pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.5", "127.0.0.1.example.com"])
    def test_off_is_refused_where_others_can_reach_it(self, name: str, host: str) -> None:
        """Without authentication anyone who reaches a port could act for everyone."""
        [sentence] = problems(**{name: host})
        assert sentence.startswith(f"{name} must be a loopback address while SEENBY_AUTH is off")

    def test_off_elsewhere_is_possible_when_insecure_and_warned_of(self) -> None:
        """Whoever says SEENBY_INSECURE=1 has read what it means, and reads it at each start."""
        settings = load({"SEENBY_API_HOST": EVERYWHERE, "SEENBY_INSECURE": "1"})
        assert settings.api_host == EVERYWHERE
        assert any("SEENBY_INSECURE" in warning for warning in settings.warnings)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
    def test_off_is_fine_on_loopback(self, host: str) -> None:
        """Only this machine can reach it."""
        assert load({"SEENBY_API_HOST": host, "SEENBY_GATEWAY_HOST": host}).warnings == ()

    def test_what_a_wrong_value_leads_to_is_not_told(self) -> None:
        """SEENBY_AUTH=jtw is the one problem, not that the host is then refused too."""
        assert problems(SEENBY_AUTH="jtw", SEENBY_API_HOST=EVERYWHERE) == [
            "SEENBY_AUTH must be off or jwt"
        ]


class TestKeys:
    def test_jwt_needs_a_key(self) -> None:
        """Nobody can be let in without one; the sentence names the four ways."""
        [sentence] = problems(SEENBY_AUTH="jwt")
        for kind in ("SECRET", "SECRET_FILE", "KEY_FILE", "JWKS_URL"):
            assert f"SEENBY_JWT_{kind}" in sentence

    def test_two_keys_are_one_too_many(self) -> None:
        """Which of them would count must not be a matter of reading the code."""
        [sentence] = problems(SEENBY_JWT_KEY_FILE=__file__, **JWT)
        assert sentence.startswith("only one of SEENBY_JWT_SECRET, ")

    def test_a_short_secret_is_refused(self) -> None:
        """RFC 7518, section 3.2: as long as the hash's output, counted in bytes."""
        assert problems(SEENBY_AUTH="jwt", SEENBY_JWT_SECRET="x" * 31) == [
            "the secret in SEENBY_JWT_SECRET must be at least 32 bytes long"
        ]
        assert load({"SEENBY_AUTH": "jwt", "SEENBY_JWT_SECRET": "ü" * 16}).jwt_secret == "ü" * 16

    def test_a_secret_keeps_its_spaces(self) -> None:
        """It is bytes for a hash: whoever makes the tokens does not strip it either."""
        secret = f" {SECRET} "
        assert load(JWT | {"SEENBY_JWT_SECRET": secret}).jwt_secret == secret

    def test_a_secret_may_come_from_a_file(self, tmp_path: Path) -> None:
        """The line end that editors add is no part of it."""
        (tmp_path / "secret").write_bytes(f"{SECRET}\r\n".encode())
        environ = {"SEENBY_AUTH": "jwt", "SEENBY_JWT_SECRET_FILE": str(tmp_path / "secret")}
        settings = load(environ)
        assert settings.jwt_secret == SECRET
        assert settings.jwt_algorithms == ("HS256",)

    @pytest.mark.parametrize("name", ["SEENBY_JWT_SECRET_FILE", "SEENBY_JWT_KEY_FILE"])
    def test_a_file_that_cannot_be_read_is_one_problem(self, name: str, tmp_path: Path) -> None:
        """It names its variable and the reason, once."""
        [known] = [variable for variable in variables() if variable.name == name]
        (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
        for path, why in (
            (tmp_path / "missing", "No such file or directory"),
            (tmp_path, "Is a directory"),
            (tmp_path / "binary", "it is not a text"),
        ):
            assert problems(**{"SEENBY_AUTH": "jwt", name: str(path)}) == [
                f"{name} must be {known.accepted} ({why})"
            ]

    @pytest.mark.parametrize("content", ["", "\n"])
    def test_an_empty_secret_file_is_refused(self, content: str, tmp_path: Path) -> None:
        """A mount that failed leaves an empty file: that must not be a secret."""
        (tmp_path / "secret").write_text(content)
        assert problems(SEENBY_AUTH="jwt", SEENBY_JWT_SECRET_FILE=str(tmp_path / "secret")) == [
            "SEENBY_JWT_SECRET_FILE must not be empty"
        ]

    def test_a_short_secret_in_a_file_is_told_by_the_files_name(self, tmp_path: Path) -> None:
        """The variable that was set is the one to look at."""
        (tmp_path / "secret").write_text("short")
        [sentence] = problems(SEENBY_AUTH="jwt", SEENBY_JWT_SECRET_FILE=str(tmp_path / "secret"))
        assert sentence == "the secret in SEENBY_JWT_SECRET_FILE must be at least 32 bytes long"

    @pytest.mark.parametrize("algorithms", ["RS256", "HS256,RS256", "ES256"])
    def test_a_secret_goes_with_hs256_only(self, algorithms: str) -> None:
        """RFC 8725, section 3.1: no list holds both kinds."""
        [sentence] = problems(SEENBY_JWT_ALGORITHMS=algorithms, **JWT)
        assert sentence.startswith("SEENBY_JWT_ALGORITHMS must be ")

    @pytest.mark.parametrize("algorithms", ["HS256", "HS256,RS256"])
    def test_a_public_key_never_goes_with_hs256(self, algorithms: str) -> None:
        """Otherwise anyone could sign with what everyone may know."""
        [sentence] = problems(SEENBY_JWT_ALGORITHMS=algorithms, **JWKS)
        assert sentence.startswith("SEENBY_JWT_ALGORITHMS must be ")

    def test_the_algorithms_follow_from_the_key(self) -> None:
        """Both public-key algorithms unless fewer are asked for."""
        assert load(JWKS).jwt_algorithms == ("RS256", "ES256")
        assert load(JWKS | {"SEENBY_JWT_ALGORITHMS": "ES256"}).jwt_algorithms == ("ES256",)

    @pytest.mark.parametrize(
        "url",
        [
            "http://id.example.com/keys",
            "http://127.0.0.1.example.com/keys",
            "http://localhost@id.example.com/keys",
            "https://user:password@id.example.com/keys",
            "ftp://127.0.0.1/keys",
            "file:///etc/keys",
            "https://",
            "keys",
        ],
    )
    def test_keys_come_from_where_nobody_can_change_them_on_the_way(self, url: str) -> None:
        """Whoever can change the keys can make any token."""
        [sentence] = problems(SEENBY_AUTH="jwt", SEENBY_JWT_JWKS_URL=url)
        assert sentence.startswith("SEENBY_JWT_JWKS_URL must be an https:// address")

    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:8000/keys", "http://[::1]/keys", "http://localhost", "https://a/b"],
    )
    def test_keys_may_come_by_https_or_from_this_machine(self, url: str) -> None:
        """Loopback cannot be listened in on from elsewhere."""
        assert load(JWKS | {"SEENBY_JWT_JWKS_URL": url}).jwt_jwks_url == url

    def test_insecure_allows_keys_by_http(self) -> None:
        """Inside a closed network, on one's own word."""
        url = "http://id.internal/keys"
        settings = load(JWKS | {"SEENBY_JWT_JWKS_URL": url, "SEENBY_INSECURE": "true"})
        assert settings.jwt_jwks_url == url

    def test_keys_that_are_not_used_are_warned_of(self) -> None:
        """Whoever sets a key and forgets SEENBY_AUTH=jwt should notice."""
        [warning] = load({"SEENBY_JWT_SECRET": SECRET}).warnings
        assert "SEENBY_JWT_SECRET" in warning
        assert SECRET not in warning


def test_what_is_switched_off_is_warned_of() -> None:
    """Brokers that are not used, and gateways that push nothing, may be a slip."""
    [brokers, pushes] = load(
        {
            "KAFKA_BROKERS": "kafka:9092",
            "READ_RECEIPT_KAFKA_ENABLED": "false",
            "ENABLE_READ_RECEIPTS": "false",
        }
    ).warnings
    assert "KAFKA_BROKERS" in brokers
    assert "ENABLE_READ_RECEIPTS" in pushes


def test_only_load_makes_settings_that_fit_together() -> None:
    """Settings built by hand are forms only: what depends on others is left open."""
    assert Settings().node == ""


def test_what_is_right_is_read_beside_what_is_wrong() -> None:
    """For telling of both: what is wrong is at its default, and said as load() says it."""
    wrong = {"SEENBY_API_PORT": "many", "SEENBY_GATEWAY_PORT": "9000", "SEENBY_NODES": "1"}
    settings, found = read(wrong)
    assert found == problems(**wrong)
    assert (settings.api_port, settings.gateway_port) == (8080, 9000)
    assert read({})[1] == []


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), (EVERYWHERE, False), ("h", False)],
)
def test_which_hosts_only_this_machine_reaches(host: str, *, only_here: bool) -> None:
    """A name that is not known to be one is taken for one that others reach."""
    assert is_loopback(host) is only_here
