"""The load: readers that mark over HTTP, senders that listen over WebSocket.

A process of its own, so that its CPU time is not counted as seenby's. It prints one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections import Counter

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

REQUEST = (
    "POST /api/v1/messages/read HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    "Content-Length: {}\r\n\r\n{}"
)


class Socket(WSListener):
    """One device of a sender: counts receipts, and how late each is."""

    def __init__(self, senders: Senders) -> None:
        self._senders = senders

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        if frame.msg_type is WSMsgType.TEXT:
            self._senders.took(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())


class Senders:
    """All sockets, and what came over them."""

    def __init__(self) -> None:
        self.count = 0
        self.late: list[float] = []
        self.marked_at: dict[bytes, float] = {}

    def took(self, frame: bytes) -> None:
        """A receipt has come."""
        self.count += 1
        _, _, rest = frame.partition(b'"msg_id":"')
        began = self.marked_at.pop(rest.partition(b'"')[0], None)
        if began is not None:
            self.late.append(time.perf_counter() - began)

    async def connect(self, gateway: str, users: int, devices: int) -> list[WSTransport]:
        """Sockets of that many users, each with so many devices."""
        gate = asyncio.Semaphore(100)

        async def one(user: int) -> WSTransport:
            async with gate:
                transport, _ = await ws_connect(
                    lambda: Socket(self), f"{gateway}?user_id=sender{user}"
                )
                return transport

        wanted = [user for user in range(users) for _ in range(devices)]
        return await asyncio.gather(*map(one, wanted))


class Reader(asyncio.Protocol):
    """One HTTP connection that sends the next mark when the one before is answered."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._began = 0.0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of one."""
        self._rest += data
        head, found, body = self._rest.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._rest = body[length:]
        self._run.answered(head[9:12], time.perf_counter() - self._began)
        self._next()

    def _next(self) -> None:
        if self._run.over:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(self._run.request(self._began))  # type: ignore[attr-defined]


class Run:
    """One measurement."""

    def __init__(self, senders: Senders, users: int, tag: str) -> None:
        self.over = False
        self.statuses: Counter[str] = Counter()
        self.took: list[float] = []
        self._senders = senders
        self._users = users
        self._tag = tag
        self.asked = 0

    def request(self, now: float) -> bytes:
        """The next mark."""
        number = self.asked
        self.asked += 1
        msg_id = f"{self._tag}-{number}"
        self._senders.marked_at[msg_id.encode()] = now
        body = (
            f'{{"msg_id":"{msg_id}","reader_id":"reader{number % 1000}",'
            f'"sender_id":"sender{number % self._users}","conversation_id":"c{number % 1000}"}}'
        )
        return REQUEST.format(len(body), body).encode()

    def answered(self, status: bytes, seconds: float) -> None:
        """A mark is answered."""
        self.statuses[status.decode()] += 1
        self.took.append(seconds)


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


async def marks(arguments: argparse.Namespace) -> dict[str, object]:
    """Closed loop: each connection marks as fast as it is answered, each mark to a socket."""
    senders = Senders()
    sockets = await senders.connect(arguments.gateway, arguments.users, 1)
    await asyncio.sleep(1)
    run = Run(senders, arguments.users, arguments.tag)
    loop = asyncio.get_running_loop()
    host, port = arguments.api.removeprefix("http://").split(":")
    print(json.dumps({"ready": True}), flush=True)
    began = time.perf_counter()
    for _ in range(arguments.connections):
        await loop.create_connection(lambda: Reader(run), host, int(port))
    await asyncio.sleep(arguments.seconds)
    run.over = True
    ended = time.perf_counter()
    answered = sum(run.statuses.values())
    # The last ones are on their way.
    for _ in range(100):
        if senders.count >= run.asked and sum(run.statuses.values()) >= run.asked:
            break
        await asyncio.sleep(0.05)
    result: dict[str, object] = {
        "marks": answered,
        "marks_per_second": answered / (ended - began),
        "asked": run.asked,
        "statuses": dict(run.statuses),
        "answer_p50_ms": percentile(run.took, 0.5),
        "answer_p99_ms": percentile(run.took, 0.99),
        "delivered": senders.count,
        "socket_p50_ms": percentile(senders.late, 0.5),
        "socket_p99_ms": percentile(senders.late, 0.99),
    }
    for socket in sockets:
        socket.disconnect()
    return result


async def idle(arguments: argparse.Namespace) -> dict[str, object]:
    """Sockets that only sit there."""
    sockets = await Senders().connect(arguments.gateway, arguments.users, 1)
    await asyncio.sleep(2)
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.sleep(arguments.seconds)
    for socket in sockets:
        socket.disconnect()
    return {"connections": len(sockets)}


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("marks", "idle"))
    parser.add_argument("--api", default="")
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--tag", default="m")
    arguments = parser.parse_args()
    work = marks if arguments.what == "marks" else idle
    result = uvloop.run(work(arguments))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(result | {"load_cpu": used.ru_utime + used.ru_stime}), flush=True)


if __name__ == "__main__":
    main()
