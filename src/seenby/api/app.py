"""The API as an aiohttp application: addresses, and what all endpoints have in common.

Around each endpoint: who calls, the body within its limit and declared as JSON, errors as JSON,
CORS, metrics. This is a function around the endpoint and not a middleware, because aiohttp's
limit for bodies is per application while ours is per address, and because a middleware would also
be walked through by what needs none of it.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web

from seenby.api.answers import JSON, Answer, cors, fault, refusal
from seenby.api.routes import Call, Routes
from seenby.auth import bearer
from seenby.errors import (
    BadInput,
    NotFound,
    SeenbyError,
    TooLarge,
    WrongMediaType,
    WrongMethod,
)
from seenby.model import ANYONE
from seenby.nodes import ASKED_AT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from seenby.api.chat import ChatRoutes
    from seenby.api.inspect import InspectRoutes
    from seenby.api.pages import Pages
    from seenby.auth import Authenticator
    from seenby.metrics import Metrics
    from seenby.model import Caller

    Endpoint = Callable[[Call], Awaitable[Answer]]
    Serve = Callable[[web.Request], Awaitable[web.Response]]

KIB = 1024
MARK_MAX = 64 * KIB
BATCH_MAX = 1024 * KIB

PREFLIGHT_HOLDS = "600"
"""Seconds for which a browser may remember a preflight's answer."""

# Without a pattern aiohttp takes no braces in a part of an address; ids may have them.
_USER = "{user_id:[^/]+}"
_DEVICE = "{device_id:[^/]+}"
_MESSAGE = "{msg_id:[^/]+}"
_INSPECT = "/api/v1/inspect"
_CONVERSATIONS = "/api/v1/conversations"
_A_CONVERSATION = f"{_CONVERSATIONS}/{{conversation_id:[^/]+}}"

log = structlog.get_logger()


def make_app(
    routes: Routes,
    chat: ChatRoutes,
    authenticator: Authenticator,
    metrics: Metrics,
    origins: Collection[str],
    *,
    inspect: InspectRoutes | None = None,
    pages: Pages | None = None,
) -> web.Application:
    """The application.

    Args:
        routes: the endpoints of marks, streams and devices.
        chat: those of conversations.
        authenticator: tells who calls.
        metrics: counts requests by route and status.
        origins: of the web pages that may call.
        inspect: those for operators; None: it has none.
        pages: its own web pages; None: it has none.
    """
    app = web.Application(client_max_size=BATCH_MAX)
    around = _Around(authenticator, metrics, origins)
    methods: dict[str, dict[str, Serve]] = {
        "/api/v1/messages/read": {
            hdrs.METH_POST: around("mark", routes.mark, body_max=MARK_MAX),
            hdrs.METH_DELETE: around("withdraw", chat.withdraw, body_max=MARK_MAX),
        },
        "/api/v1/messages/read/batch": {
            hdrs.METH_POST: around("mark_batch", routes.mark_batch, body_max=BATCH_MAX),
        },
        "/api/v1/messages": {
            hdrs.METH_POST: around("register", chat.register, body_max=MARK_MAX),
        },
        "/api/v1/messages/batch": {
            hdrs.METH_POST: around("register_batch", chat.register_batch, body_max=BATCH_MAX),
        },
        "/api/v1/messages/receipts": {hdrs.METH_GET: around("receipts", chat.receipts)},
        "/api/v1/messages/unread": {hdrs.METH_GET: around("unread", chat.unread)},
        "/api/v1/messages/unread/count": {
            hdrs.METH_GET: around("unread_counts", chat.unread_counts),
        },
        _A_CONVERSATION: {
            hdrs.METH_PUT: around("put_conversation", chat.put, body_max=BATCH_MAX),
            hdrs.METH_GET: around("conversation", chat.conversation),
        },
        f"{_CONVERSATIONS}/batch": {
            hdrs.METH_POST: around("put_batch", chat.put_batch, body_max=BATCH_MAX),
        },
        f"{_CONVERSATIONS}/read": {
            hdrs.METH_POST: around("read_conversation", chat.read_conversation, body_max=MARK_MAX),
        },
        f"{_A_CONVERSATION}/members": {
            hdrs.METH_POST: around("change_members", chat.change, body_max=BATCH_MAX),
            hdrs.METH_GET: around("members", chat.members),
        },
        f"{_CONVERSATIONS}/members/batch": {
            hdrs.METH_POST: around("change_batch", chat.change_batch, body_max=BATCH_MAX),
        },
        f"/api/v1/users/{_USER}": {hdrs.METH_DELETE: around("erase", chat.erase)},
        f"/api/v1/users/{_USER}/settings": {
            hdrs.METH_PUT: around("prefer", chat.prefer, body_max=MARK_MAX),
            hdrs.METH_GET: around("preferences", chat.preferences),
        },
        f"/api/v1/users/{_USER}/policy": {hdrs.METH_GET: around("policy", chat.policy)},
        f"/api/v1/users/{_USER}/receipts": {hdrs.METH_GET: around("missed", routes.missed)},
        f"/api/v1/users/{_USER}/devices": {hdrs.METH_GET: around("devices", routes.devices)},
        f"/api/v1/users/{_USER}/devices/{_DEVICE}": {
            hdrs.METH_DELETE: around("sign_off", routes.sign_off),
        },
        "/api/v1/gateway": {hdrs.METH_GET: around("gateway", routes.gateway)},
        "/health": {hdrs.METH_GET: around("health", routes.health, public=True)},
        "/ready": {hdrs.METH_GET: around("ready", routes.ready, public=True)},
        "/metrics": {hdrs.METH_GET: around("metrics", routes.metrics, public=True)},
    }
    if inspect is not None:
        methods |= {
            f"{_INSPECT}/overview": {hdrs.METH_GET: around("overview", inspect.overview)},
            f"{_INSPECT}/users/{_USER}": {hdrs.METH_GET: around("inspect_user", inspect.user)},
            f"{_INSPECT}/messages/{_MESSAGE}": {
                hdrs.METH_GET: around("inspect_message", inspect.message),
            },
            ASKED_AT: {hdrs.METH_GET: around("node", inspect.node, public=True)},
        }
    if pages is not None:
        for path, page in pages.routes.items():
            methods[path] = {hdrs.METH_GET: around("page", page, public=True)}
    for path, by_method in methods.items():
        if hdrs.METH_GET in by_method:
            # The same without its body (RFC 9110, section 9.3.2): aiohttp leaves that out.
            by_method[hdrs.METH_HEAD] = by_method[hdrs.METH_GET]
        resource = app.router.add_resource(path)
        for method, serve in by_method.items():
            resource.add_route(method, serve)
        if path in {f"{_CONVERSATIONS}/batch", f"{_CONVERSATIONS}/read"}:
            # A conversation may bear this name too: it is an id for all other methods.
            every = (*by_method, *methods[_A_CONVERSATION])
            resource.add_route(hdrs.METH_OPTIONS, around.other_methods(every))
        else:
            resource.add_route(hdrs.METH_ANY, around.other_methods(tuple(by_method)))
    app.router.add_route(hdrs.METH_ANY, "/{_:.*}", around("unknown", _unknown, public=True))
    return app


async def _unknown(call: Call) -> Answer:
    raise NotFound(f"there is nothing at {call.request.path[:100]}")


class _Around:
    """What stands around each endpoint."""

    def __init__(
        self, authenticator: Authenticator, metrics: Metrics, origins: Collection[str]
    ) -> None:
        self._authenticator = authenticator
        self._metrics = metrics
        self._origins = frozenset(origins)

    def __call__(
        self, name: str, endpoint: Endpoint, *, body_max: int = 0, public: bool = False
    ) -> Serve:
        """What aiohttp calls for it.

        Args:
            name: how metrics call it.
            endpoint: answers, or raises a SeenbyError.
            body_max: the longest body in bytes; 0: it takes none.
            public: open to whoever has no token.
        """

        async def serve(request: web.Request) -> web.Response:
            began = time.perf_counter()
            try:
                caller = ANYONE if public else await self._caller(request)
                body = await _body(request, body_max) if body_max else b""
                answer = await endpoint(Call(request, caller, body))
            except SeenbyError as error:
                answer = refusal(error)
            except Exception:
                log.exception("request_failed", route=name)
                answer = fault()
            response = self._response(request, answer)
            self._metrics.request(name, response.status, time.perf_counter() - began)
            return response

        return serve

    def other_methods(self, allowed: tuple[str, ...]) -> Serve:
        """Answers a browser's preflight, and every method that an address does not have."""
        names = ", ".join((*allowed, hdrs.METH_OPTIONS))

        async def serve(request: web.Request) -> web.Response:
            if request.method == hdrs.METH_OPTIONS:
                headers = {hdrs.SERVER: "seenby", **self._cors(request)}
                response = web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)
            else:
                refused = refusal(WrongMethod(f"this address takes {names} only"))
                response = self._response(request, refused)
            response.headers[hdrs.ALLOW] = names
            if hdrs.ACCESS_CONTROL_ALLOW_ORIGIN in response.headers:
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = ", ".join(allowed)
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = (
                    "Authorization, Content-Type, traceparent"
                )
                response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = PREFLIGHT_HOLDS
            return response

        return serve

    async def _caller(self, request: web.Request) -> Caller:
        token = bearer(request.headers.get(hdrs.AUTHORIZATION, ""))
        return await self._authenticator.authenticate(token, time.time())

    def _cors(self, request: web.Request) -> dict[str, str]:
        return cors(request.headers.get(hdrs.ORIGIN), self._origins)

    def _response(self, request: web.Request, answer: Answer) -> web.Response:
        headers = {**answer.headers, **self._cors(request), **dict(answer.more)}
        return web.Response(body=answer.body, status=answer.status, headers=headers)


async def _body(request: web.Request, longest: int) -> bytes:
    """The body, which must say that it is JSON: a page of a foreign origin cannot do that unasked.

    Raises:
        WrongMediaType: it says something else, or nothing.
        TooLarge: it is over its limit.
        BadInput: it is not encoded as its headers say, or the client left in the middle of it.
    """
    if request.content_type != JSON:
        raise WrongMediaType("the request must have the header Content-Type: application/json")
    too_large = TooLarge(f"the body must have at most {longest // KIB} KiB")
    if (request.content_length or 0) > longest:
        raise too_large
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except web.RequestPayloadError:
        raise BadInput("body", "encoded as the headers say") from None
    except ConnectionError:
        raise BadInput("body", "sent whole") from None
    if len(body) > longest:
        raise too_large
    return body
