"""Fixtures of the contract suites: the adapters of each port."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.store.schema import migrate
from tests.contract.store_adapters import ADAPTERS, Adapter, empty, url_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.store.sql import SqlStore
    from tests.servers.mariadb import MariaDB


@pytest.fixture(scope="session", params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """Each adapter of the store, on a database of its own that is made once."""
    name: str = request.param
    if name == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store')}/seenby.db"
    else:
        server: MariaDB = request.getfixturevalue("mariadb_server")
        url = url_for(name, server.database())
    migrate(url)
    return Adapter(name, url)


@pytest.fixture
def store(adapter: Adapter) -> Iterator[SqlStore]:
    """An empty store."""
    with closing(adapter.open()) as opened:
        empty(opened)
        yield opened
