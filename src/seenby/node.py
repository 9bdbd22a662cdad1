"""The composition root: settings become parts, in start order, and end in drain order.

The only place that picks adapters. Three roles are made of the same parts:

- ``serve``: API and gateway in one process; with no setting, SQLite and an in-process bus.
- ``api``: takes marks and publishes them.
- ``gateway``: pushes to sockets; marks that come over sockets are recorded here too.

Start: store, bus, relay, recorder, counts, gateway, API. Drain: the API and the gateway stop
accepting and finish, then the recorder, the relay and the store, so nothing that was answered is
lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import resource
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import structlog
from aiohttp import web
from sqlalchemy import make_url
from yarl import URL

from seenby.api.app import make_app
from seenby.api.chat import ChatRoutes
from seenby.api.inspect import InspectRoutes
from seenby.api.lane import KEEP_ALIVE, Lane
from seenby.api.pages import Pages
from seenby.api.routes import Routes
from seenby.auth import make_authenticator
from seenby.bus.absent import NoFeed
from seenby.bus.kafka import KafkaFeed, KafkaPublisher
from seenby.bus.kafka_messages import GroupMessages
from seenby.bus.kafka_security import security_of
from seenby.bus.memory import MemoryBus
from seenby.chat import Chat
from seenby.counts import Counts
from seenby.errors import ConfigError
from seenby.gateway.dispatcher import Dispatcher
from seenby.gateway.hub import Hub
from seenby.gateway.requests import Requests
from seenby.gateway.server import Gateway
from seenby.metrics import Metrics
from seenby.presence import Presence, reachable_at
from seenby.recorder import Recorder
from seenby.relay import Relay
from seenby.rules import HOUR_MS, Rules
from seenby.service import Service
from seenby.settings import in_url
from seenby.store.schema import migrate, require_current
from seenby.store.sql import SqlStore, open_store
from seenby.store.threads import StoreThreads
from seenby.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from seenby.auth import QuickAuthenticator
    from seenby.bus.base import Feed, Publisher
    from seenby.config import Settings
    from seenby.gateway.session import Session

Role = Literal["serve", "api", "gateway"]

HTTP_PORT = 80

BUS_WITHIN = 3.0
"""Seconds that a start waits for the bus before it goes on without."""

log = structlog.get_logger()


class Running(msgspec.Struct, frozen=True):
    """What runs where, safe to show: no password is in it."""

    api_url: str | None
    gateway_url: str | None
    database: str
    bus: str


async def run(
    settings: Settings,
    role: Role,
    *,
    on_ready: Callable[[Running], None] | None = None,
) -> None:
    """Start, serve until SIGTERM or SIGINT, and drain.

    Raises:
        SchemaError: the database's schema is not this program's (``serve`` migrates instead).
        StoreUnavailable: the database does not answer at the start.
        ConfigError: a port is taken, or a key file holds no key that serves.
    """
    _allow_many_sockets()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with AsyncExitStack() as drain:
            running = await start(settings, role, drain)
            _never_collect_what_is_here()
            log.info("started", role=role, node=settings.node, **msgspec.structs.asdict(running))
            if on_ready is not None:
                on_ready(running)
            await stop.wait()
            log.info("draining", role=role)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    log.info("stopped", role=role)


async def start(settings: Settings, role: Role, drain: AsyncExitStack) -> Running:
    """Build and start the parts of *role*; *drain* stops them in the right order."""
    for warning in settings.warnings:
        log.warning("setting", why=warning)
    metrics = Metrics()
    rules = _rules(settings)
    threads = await _open_store(settings, rules, role, drain)
    publisher, feed = _choose_bus(settings, role, metrics)
    relay = Relay(threads, publisher, metrics, owner=settings.node)
    drain.push_async_callback(relay.close)
    recorder = Recorder(threads, relay, metrics)
    drain.push_async_callback(recorder.close)
    counts = Counts(recorder, threads)
    drain.push_async_callback(counts.close)
    recorder.tell_of_counts(counts.held_back)
    relay.start()
    recorder.start()
    counts.start()
    service = Service(recorder, threads)
    presence = Presence(threads, metrics, relay, node=settings.node, role=role)
    shared = _Shared(
        settings, service, make_authenticator(settings), metrics, drain, threads, presence
    )
    chat = Chat(recorder, threads, rules)
    if role != "gateway":
        upkeep = Upkeep(
            threads,
            event_days=settings.event_retention,
            device_days=settings.device_retention,
            receipt_days=settings.receipt_retention,
        )
        drain.push_async_callback(upkeep.close)
        upkeep.start()
        if settings.kafka:
            _follow_messages(settings, chat, metrics, drain)
    gateway_url = api_url = station = None
    if feed is not None:
        gateway_url, station = await _start_gateway(shared, feed)
    if role != "gateway":
        api_url = await _start_api(shared, chat, publisher)
    presence.start(_asked_at(settings, gateway_url or api_url or ""), station)
    drain.push_async_callback(presence.close)
    return Running(
        api_url=api_url,
        gateway_url=gateway_url,
        database=make_url(settings.database_url).render_as_string(hide_password=True),
        bus=_bus_in_words(settings, role),
    )


async def _open_store(
    settings: Settings, rules: Rules, role: Role, drain: AsyncExitStack
) -> StoreThreads[SqlStore]:
    url = settings.database_url
    if role == "serve":
        for done in await asyncio.to_thread(migrate, url):
            log.info("migrated", what=done)
    else:
        await asyncio.to_thread(require_current, url)
    store = open_store(url, retry_seconds=settings.store_retry, rules=rules)
    threads = StoreThreads(store)
    drain.push_async_callback(threads.close)
    for warning in await threads.read(threads.store.durability_warnings):
        log.warning("database_may_lose_commits", why=warning)
    return threads


def _choose_bus(
    settings: Settings, role: Role, metrics: Metrics
) -> tuple[Publisher | None, Feed | None]:
    """The publisher, and the feed of a role that has a gateway."""
    publisher: Publisher | None = None
    feed: Feed | None = None
    if settings.kafka:
        security = security_of(settings)
        publisher = KafkaPublisher(
            settings.kafka_brokers,
            settings.topic,
            updates_topic=settings.updates_topic,
            client_id=f"seenby-{settings.node}",
            security=security,
        )
        if role != "api":
            feed = KafkaFeed(
                settings.kafka_brokers,
                settings.gateway_topic,
                settings.receipts_group,
                settings.node,
                updates_topic=settings.updates_topic,
                all_partitions=settings.gateway_partitions == "all",
                metrics=metrics,
                security=security,
            )
    elif role == "serve":
        bus = MemoryBus()
        publisher, feed = bus.publisher(), bus.feed(metrics)
    else:
        log.warning("no_bus", why=_bus_in_words(settings, role))
        feed = NoFeed() if role == "gateway" else None
    return publisher, feed


def _bus_in_words(settings: Settings, role: Role) -> str:
    if settings.kafka:
        return f"Kafka at {settings.kafka_brokers}, topic {settings.topic}"
    if role == "serve":
        return "in this process"
    return "none: gateways read the database every second (set KAFKA_BROKERS for more speed)"


def _follow_messages(
    settings: Settings, chat: Chat, metrics: Metrics, drain: AsyncExitStack
) -> None:
    """Register what the chat tells of on its own topic."""
    messages = GroupMessages(
        settings.kafka_brokers,
        settings.messages_topic,
        settings.messages_group,
        settings.node,
        chat.from_topic,
        metrics=metrics,
        security=security_of(settings),
    )
    drain.push_async_callback(messages.close)
    messages.start()


class _Shared(NamedTuple):
    """What gateway and API have in common."""

    settings: Settings
    service: Service
    authenticator: QuickAuthenticator
    metrics: Metrics
    drain: AsyncExitStack
    threads: StoreThreads[SqlStore]
    presence: Presence


async def _start_gateway(shared: _Shared, feed: Feed) -> tuple[str, Dispatcher]:
    settings, service, authenticator, metrics, drain, _, presence = shared
    hub = Hub()

    def write(session: Session) -> None:
        """The gateway's, which comes last and is needed by those it is made of."""
        gateway.write(session)

    dispatcher = Dispatcher(
        service,
        hub,
        feed,
        metrics,
        write=write,
        replay_limit=settings.replay_limit,
        pushes=settings.push_receipts,
    )
    requests = Requests(
        dispatcher, service, None if settings.auth == "off" else authenticator, write=write
    )
    gateway = Gateway(
        dispatcher,
        requests,
        metrics,
        origins=_origins(settings),
        session_bytes=settings.session_bytes,
        answer=presence.answer,
    )
    await dispatcher.start()
    drain.push_async_callback(dispatcher.close)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_bus_answers(dispatcher), BUS_WITHIN)
    with _naming_the_port("SEENBY_GATEWAY_PORT", settings.gateway_host, settings.gateway_port):
        await gateway.start(settings.gateway_host, settings.gateway_port)
    drain.push_async_callback(gateway.drain, settings.drain_seconds)
    return f"ws://{in_url(settings.gateway_host)}:{gateway.port}/ws", dispatcher


async def _bus_answers(dispatcher: Dispatcher) -> None:
    while not dispatcher.bus_answers:  # noqa: ASYNC110 -- a fact to look at, not an event
        await asyncio.sleep(0.02)


async def _start_api(shared: _Shared, chat: Chat, publisher: Publisher | None) -> str:
    settings, service, authenticator, metrics, drain, threads, presence = shared
    routes = Routes(
        service,
        metrics,
        bus=publisher,
        gateway_url=settings.gateway_url,
        partitions=settings.topic_partitions,
    )
    pages = Pages(gateway_url=settings.gateway_url, auth=settings.auth) if settings.pages else None
    origins = _origins(settings)
    inspect = InspectRoutes(
        threads, bus=publisher, partitions=settings.topic_partitions, answer=presence.answer
    )
    drain.push_async_callback(inspect.close)
    app = make_app(
        routes, ChatRoutes(chat), authenticator, metrics, origins, inspect=inspect, pages=pages
    )
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=KEEP_ALIVE,
        shutdown_timeout=settings.drain_seconds,
    )
    await runner.setup()
    drain.push_async_callback(runner.cleanup)
    if runner.server is None:
        raise RuntimeError("aiohttp's runner has no server after its setup")
    lane = Lane(runner.server, service, authenticator, metrics, origins)
    with _naming_the_port("SEENBY_API_PORT", settings.api_host, settings.api_port):
        port = await lane.listen(settings.api_host, settings.api_port)
    drain.push_async_callback(lane.drain, settings.drain_seconds)
    return f"http://{in_url(settings.api_host)}:{port}"


def _asked_at(settings: Settings, url: str) -> str:
    """Where other processes may ask this one, which listens at *url*."""
    if settings.inspect_url:
        return settings.inspect_url.rstrip("/")
    host = settings.gateway_host if url.startswith("ws") else settings.api_host
    return reachable_at(host, URL(url).port or 0)


def _rules(settings: Settings) -> Rules:
    """Who is told what."""
    forced = settings.receipts_forced
    return Rules(
        accept_unregistered=settings.unregistered == "accept",
        visible_to_members=settings.visible_to == "members",
        sync_reader=settings.sync_reader,
        unread_window_ms=settings.unread_window * HOUR_MS,
        forced=None if forced is None else forced == "on",
        count_hidden=settings.count_hidden,
        reciprocal=settings.reciprocal,
        aggregate_over=settings.aggregate_over,
    )


def _allow_many_sockets() -> None:
    """Open as many files as the system lets this process: each socket is one.

    A shell's own limit is often 1,024, while the hard one is far above it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where there is no hard limit, macOS takes no such number for the other one.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _never_collect_what_is_here() -> None:
    """Have the garbage collector leave out what the start has made."""
    gc.collect()
    gc.freeze()


def _origins(settings: Settings) -> frozenset[str]:
    """Those of the settings; else the API's own, under each name that means this machine."""
    if settings.allowed_origins:
        return frozenset(settings.allowed_origins)
    hosts = {settings.api_host, "localhost", "127.0.0.1"}
    # Browsers leave out the scheme's own port (RFC 6454, section 6.2).
    port = "" if settings.api_port == HTTP_PORT else f":{settings.api_port}"
    return frozenset(f"http://{in_url(host)}{port}" for host in hosts)


@contextlib.contextmanager
def _naming_the_port(variable: str, host: str, port: int) -> Generator[None]:
    """A port that cannot be listened on is a wrong setting, and told as one."""
    try:
        yield
    except OSError as error:
        why = "in use already" if error.errno == errno.EADDRINUSE else f"refused ({error})"
        raise ConfigError(
            f"{variable} must be a free port: port {port} on {host} is {why}"
        ) from error
