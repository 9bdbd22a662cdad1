"""The whole examination: whatever is wrong is told in order, and no secret with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seenby.doctor import Finding, examine
from seenby.doctor.examination import CHECKS, Check
from seenby.doctor.finding import error, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.settings import Settings

SECRET = "a secret of at least thirty-two bytes"


def fine(_: Settings) -> Iterator[Finding]:
    """A check that finds nothing wrong."""
    yield ok("thing", "is fine")


def test_settings_that_fit_are_said_to_fit() -> None:
    """And the checks follow, in order."""
    found = list(examine({}, (Check("thing", fine, ()), Check("other", fine, ()))))
    assert found == [ok("settings", "fit together"), ok("thing", "is fine"), ok("thing", "is fine")]


def test_every_wrong_setting_is_told_and_the_others_are_looked_at() -> None:
    """What depends on a wrong one is not: it would be of a default that nobody meant."""
    environ = {"SEENBY_API_PORT": "many", "SEENBY_GATEWAY_PROT": "1", "KAFKA_BROKERS": "localhost"}
    checks = (
        Check("ports", fine, ("SEENBY_API_PORT",)),
        Check("Kafka", fine, ("KAFKA_",)),
        Check("thing", fine, ("SEENBY_DATABASE_URL",)),
    )
    found = list(examine(environ, checks))
    assert [(item.check, item.level) for item in found] == [
        ("settings", "error"),
        ("settings", "error"),
        ("settings", "error"),
        ("ports", "warning"),
        ("Kafka", "warning"),
        ("thing", "ok"),
    ]
    assert found[0].found == (
        "SEENBY_GATEWAY_PROT is not a setting of seenby; did you mean SEENBY_GATEWAY_PORT?"
    )
    assert found[3].todo == "put right SEENBY_API_PORT, and run this again"


def test_what_the_start_warns_of_is_told_too() -> None:
    """Such as a setting that is not used."""
    [first, *_] = examine({"SEENBY_JWT_SECRET": SECRET}, ())
    assert first.level == "warning"
    assert "not used while SEENBY_AUTH is off" in first.found


def test_a_check_that_fails_does_not_end_the_examination() -> None:
    """It is told as what it is, without a traceback."""

    def broken(_: Settings) -> Iterator[Finding]:
        yield ok("thing", "is begun")
        raise ZeroDivisionError("by nothing")

    found = list(examine({}, (Check("thing", broken, ()), Check("other", fine, ()))))
    assert [item.level for item in found] == ["ok", "ok", "error", "ok"]
    assert found[2].found == "could not be looked at: ZeroDivisionError: by nothing"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"SEENBY_AUTH": "jwt", "SEENBY_JWT_SECRET": SECRET}, SECRET),
        ({"SEENBY_DATABASE_URL": "mysql://u:gehe%2Fim%21@h/d"}, "gehe/im!"),
        ({"SEENBY_DATABASE_URL": "mysql://u:gehe%2Fim%21@h/d"}, "gehe%2Fim%21"),
        (
            {
                "KAFKA_BROKERS": "h:1",
                "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "KAFKA_SASL_USERNAME": "u",
                "KAFKA_SASL_PASSWORD": "geheim",
            },
            "geheim",
        ),
    ],
)
def test_no_secret_is_told(environ: dict[str, str], told: str) -> None:
    """Whatever a driver or a library says of it."""

    def telling(_: Settings) -> Iterator[Finding]:
        yield error("thing", f"cannot log in with '{told}'", "another password")

    *_, last = examine(environ, (Check("thing", telling, ()),))
    assert last.found == "cannot log in with '***'"


def test_every_check_has_a_name_and_knows_its_settings() -> None:
    """Else it would look at defaults while its settings are wrong."""
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    without = [check.name for check in CHECKS if not check.needs]
    assert without == ["open files"]
