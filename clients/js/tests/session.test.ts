// The rules of a connection's life, with a gateway and a clock of the test's own.

import { beforeEach, describe, expect, test, vi } from "vitest";

import { memoryStorage, Seenby, SeenbyError, type Events, type Options } from "../src/index.js";
import { fakeGateway, FakeSocket, receipt } from "./fake/gateway.js";
import { FakePace, settled } from "./fake/pace.js";

const HEARTBEAT = 30_000;

let gateway: ReturnType<typeof fakeGateway>;
let pace: FakePace;
let statuses: Events["status"][];
let errors: Error[];

beforeEach(() => {
  gateway = fakeGateway();
  pace = new FakePace();
  statuses = [];
  errors = [];
});

function client(more: Partial<Options> = {}): Seenby {
  const made = new Seenby({
    userId: "alice",
    api: "http://api.test",
    gateway: "ws://gateway.test/ws",
    deviceId: "laptop",
    storage: memoryStorage(),
    fetch: () => Promise.reject(new TypeError("no network")),
    WebSocket: gateway.WebSocket,
    pace,
    ...more,
  });
  made.on("status", (event) => statuses.push(event));
  made.on("error", (error) => errors.push(error));
  return made;
}

/** A client that is connected, and its socket. */
async function online(more: Partial<Options> = {}, head = 0): Promise<[Seenby, FakeSocket]> {
  const alice = client(more);
  alice.connect();
  await settled();
  gateway.last().welcome(head);
  return [alice, gateway.last()];
}

function seqs(alice: Seenby): number[] {
  const got: number[] = [];
  alice.on("read_receipt", ({ seq }) => got.push(seq ?? -1));
  return got;
}

describe("connecting", () => {
  test("says hello with device and batch, and no token in the address", async () => {
    const [alice, socket] = await online({ token: "secret" });
    expect(socket.url).toBe("ws://gateway.test/ws?user_id=alice&device_id=laptop");
    expect(socket.said).toEqual([
      { type: "hello", token: "secret", device_id: "laptop", batch: true },
    ]);
    expect(statuses).toEqual([{ status: "connecting" }, { status: "online" }]);
    void alice.close();
  });

  test("asks the API for the gateway and its part before each connect", async () => {
    const asked: string[] = [];
    const alice = client({
      gateway: undefined,
      fetch: (url) => {
        asked.push(String(url));
        return Promise.resolve(Response.json({ url: "ws://far.test/ws", part: 6 }));
      },
    });
    alice.connect();
    await settled();
    gateway.last().welcome();
    gateway.last().end(1006);
    await pace.pass(1000);
    expect(asked).toEqual(Array(2).fill("http://api.test/api/v1/gateway?user_id=alice"));
    expect(gateway.last().url).toBe("ws://far.test/ws?user_id=alice&device_id=laptop&part=6");
  });

  test("a server that does not speak seenby.v1 is left for good", async () => {
    const alice = client();
    alice.connect();
    await settled();
    gateway.last().protocol = "";
    gateway.last().open();
    await settled();
    expect(alice.status).toBe("closed");
    expect(errors).toHaveLength(1);
  });

  test("without a welcome in ten seconds the connection is given up", async () => {
    const alice = client();
    alice.connect();
    await settled();
    gateway.last().open();
    await pace.pass(10_000);
    expect(gateway.last().closed).toBeDefined();
    expect(alice.status).toBe("waiting");
  });

  test("connect() twice is one connection; while it waits, it is tried at once", async () => {
    const [alice, socket] = await online();
    alice.connect();
    await pace.pass(60);
    expect(gateway.sockets).toHaveLength(1);
    socket.end(1006);
    await settled();
    alice.connect();
    await settled();
    expect(gateway.sockets).toHaveLength(2);
    await pace.pass(5000);
    expect(gateway.sockets).toHaveLength(2);
  });

  test("a fetch that is given is called as a function, as a browser's must be", async () => {
    const owners: unknown[] = [];
    const alice = client({
      fetch: function (this: unknown) {
        owners.push(this);
        return Promise.resolve(Response.json({ count: 0 }));
      },
    });
    await alice.unreadCounts();
    expect(owners).toEqual([undefined]);
  });

  test("a clean close() waits for the gateway's part, and connect() may follow", async () => {
    const [alice, socket] = await online();
    const closing = vi.fn();
    const closed = alice.close().then(closing);
    await settled();
    expect(socket.closed).toBe(1000);
    expect(closing).not.toHaveBeenCalled();
    socket.end(1000);
    await closed;
    expect(alice.status).toBe("closed");
    alice.connect();
    await settled();
    gateway.last().welcome();
    expect(alice.status).toBe("online");
    expect(pace.waits).toEqual([200, HEARTBEAT]);
  });

  test("a gateway that never answers the close is waited for two seconds", async () => {
    const [alice] = await online();
    const closed = alice.close();
    await pace.pass(2000);
    await closed;
    expect(pace.waits).toEqual([]);
  });
});

describe("connecting again", () => {
  test("full jitter: a random part of a bound that doubles up to 30 seconds", async () => {
    const alice = client();
    pace.chance = 0.999;
    alice.connect();
    await settled();
    for (let failure = 0; failure < 8; failure++) {
      gateway.last().end(1006);
      await settled();
      await pace.pass(statuses.at(-1)?.retry_in! * 1000);
    }
    const waits = statuses.flatMap(({ retry_in }) => retry_in ?? []);
    expect(waits.map((wait) => wait / 0.999)).toEqual(
      [1, 2, 4, 8, 16, 30, 30, 30].map((n) => expect.closeTo(n)),
    );
    pace.chance = 0;
    gateway.last().end(1006);
    await settled();
    expect(statuses.at(-1)).toMatchObject({ retry_in: 0 });
  });

  test.each([4000, 4001, 4002, 4008])("%i: once at once, then with a pause", async (code) => {
    const [, socket] = await online({ token: () => "t" });
    socket.end(code, "why");
    await settled();
    expect(statuses.at(-1)).toEqual({ status: "waiting", code, reason: "why", retry_in: 0 });
    await pace.pass(0);
    gateway.last().welcome();
    gateway.last().end(code);
    await settled();
    expect(statuses.at(-1)).toMatchObject({ status: "waiting", retry_in: 1 });
  });

  test.each([1001, 1005, 1006, 1012, 1013])("%i: after a pause", async (code) => {
    const [, socket] = await online();
    socket.end(code);
    await settled();
    expect(statuses.at(-1)).toMatchObject({ status: "waiting", code, retry_in: 0.5 });
  });

  test.each([
    [4400, "refused"],
    [4401, "unauthenticated"],
    [4403, "forbidden"],
    [4429, "too_many"],
    [1009, "refused"],
  ])("%i ends for good, with an error", async (code, word) => {
    const [alice, socket] = await online({ token: () => "t" });
    socket.end(code, "a reason");
    await settled();
    expect(pace.waits).toEqual([]);
    await pace.pass(100_000);
    expect(gateway.sockets).toHaveLength(1);
    expect(statuses.at(-1)).toEqual({ status: "closed", code, reason: "a reason" });
    expect(errors).toEqual([expect.any(SeenbyError)]);
    expect(errors[0]).toMatchObject({ code: word, status: code, retriable: false });
    alice.connect();
    await settled();
    expect(gateway.sockets).toHaveLength(2);
  });

  test("a token that expires is asked for anew; one that cannot be is the end", async () => {
    const token = vi.fn(() => Promise.resolve(`token${token.mock.calls.length}`));
    const [, socket] = await online({ token });
    socket.end(4001);
    await pace.pass(0);
    gateway.last().open();
    expect(gateway.last().said[0]).toMatchObject({ token: "token2" });
    const [fixed, itsSocket] = await online({ token: "fixed" });
    itsSocket.end(4001);
    await settled();
    expect(fixed.status).toBe("closed");
    expect(errors.at(-1)).toMatchObject({ code: "token_expired" });
  });

  test("a token that cannot be fetched now is asked for again later", async () => {
    let failing = true;
    const alice = client({
      token: () => {
        if (failing) throw new Error("the session service is away");
        return "t";
      },
    });
    alice.connect();
    await settled();
    expect(statuses.at(-1)).toMatchObject({ status: "waiting", retry_in: 0.5 });
    failing = false;
    await pace.pass(500);
    expect(gateway.sockets).toHaveLength(1);
  });

  test("a good connection of ten seconds makes the first pause short again", async () => {
    const alice = client();
    alice.connect();
    await settled();
    for (let failure = 0; failure < 5; failure++) {
      gateway.last().end(1006);
      await pace.pass(30_000);
    }
    gateway.last().welcome();
    await pace.pass(10_000);
    gateway.last().end(1006);
    await settled();
    expect(statuses.at(-1)).toMatchObject({ retry_in: 0.5 });
  });

  test("close() ends the waiting, also from a listener", async () => {
    const [alice, socket] = await online();
    alice.on("status", ({ status }) => void (status === "waiting" && alice.close()));
    socket.end(1006);
    await settled();
    expect(pace.waits).toEqual([]);
    await pace.pass(100_000);
    expect(gateway.sockets).toHaveLength(1);
    expect(pace.waits).toEqual([]);
  });
});

describe("closed and connected again", () => {
  test("what the first attempt was still waiting for does not disturb the second", async () => {
    const tokens: ((token: string) => void)[] = [];
    const answers: ((answer: Response) => void)[] = [];
    const alice = client({
      gateway: undefined,
      token: () => new Promise<string>((resolve) => tokens.push(resolve)),
      fetch: () => new Promise<Response>((resolve) => answers.push(resolve)),
    });
    alice.connect();
    await settled();
    tokens[0]?.("t");
    await settled();
    void alice.close();
    alice.connect();
    await settled();
    tokens[1]?.("t");
    await settled();
    const found = () => Response.json({ url: "ws://gateway.test/ws" });
    answers[1]?.(found());
    await settled();
    gateway.last().welcome();
    answers[0]?.(found());
    await settled();
    expect(gateway.sockets).toHaveLength(1);
    gateway.last().tell(receipt(1));
    await pace.pass(200);
    expect(gateway.last().saidOf("ack")).toHaveLength(1);
    expect(alice.status).toBe("online");
  });
});

describe("a network that is dead", () => {
  test("a silent heartbeat is asked about; without a word in ten seconds it is left", async () => {
    const [alice, socket] = await online();
    await pace.pass(HEARTBEAT - 1);
    expect(socket.saidOf("ping")).toEqual([]);
    await pace.pass(1);
    expect(socket.saidOf("ping")).toHaveLength(1);
    await pace.pass(9999);
    expect(alice.status).toBe("online");
    await pace.pass(1);
    expect(alice.status).toBe("waiting");
    expect(statuses.at(-1)?.reason).toBe("nothing was heard from the gateway");
  });

  test("a pong is a word", async () => {
    const [alice, socket] = await online();
    for (let beat = 0; beat < 5; beat++) {
      await pace.pass(HEARTBEAT);
      expect(socket.saidOf("ping")).toHaveLength(beat + 1);
      socket.tell({ type: "pong" });
    }
    expect(alice.status).toBe("online");
  });
});

describe("the stream", () => {
  test("events come in order, batches unpacked, repeats dropped", async () => {
    const [alice, socket] = await online();
    const got = seqs(alice);
    socket.tell(
      receipt(1),
      { type: "read_receipts", receipts: [receipt(1), receipt(2), receipt(3)] },
      receipt(3),
      receipt(2),
      receipt(4),
    );
    await settled();
    expect(got).toEqual([1, 2, 3, 4]);
    expect(alice.position).toEqual({ epoch: "e1", seq: 4 });
  });

  test("each kind of event reaches those who listen to it", async () => {
    const [alice, socket] = await online();
    const got: string[] = [];
    const kinds = ["read_count", "read_withdrawn", "read_self", "unread_self"] as const;
    for (const kind of kinds) alice.on(kind, (event) => got.push(`${kind} ${event.seq}`));
    socket.tell(...kinds.map((type, index) => ({ ...receipt(index + 1), type })));
    await settled();
    expect(got).toEqual(kinds.map((kind, index) => `${kind} ${index + 1}`));
    expect(alice.position?.seq).toBe(4);
  });

  test("an event without a place comes live and moves nothing", async () => {
    const [alice, socket] = await online();
    const got = seqs(alice);
    socket.tell(receipt(1), receipt(undefined, "elsewhere"), receipt(undefined, "elsewhere"));
    await pace.pass(1000);
    expect(got).toEqual([1, -1, -1]);
    expect(alice.position?.seq).toBe(1);
    expect(socket.saidOf("ack")).toEqual([{ type: "ack", seq: 1 }]);
  });

  test("frames of types that are not known are passed over", async () => {
    const [alice, socket] = await online();
    const got = seqs(alice);
    socket.tell({ type: "something_new", seq: 1 }, receipt(1));
    await settled();
    expect([got, alice.status]).toEqual([[1], "online"]);
  });

  test.each(["{", "[]", "null", "3", '{"seq":1}', '{"type":"read_receipts"}'])(
    "%s is a fault and no silent hole: the client connects again where it stood",
    async (text) => {
      const [alice, socket] = await online();
      const got = seqs(alice);
      socket.tell(receipt(1), text, receipt(2));
      await pace.pass(1000);
      expect(got).toEqual([1]);
      gateway.last().open();
      expect(gateway.last().said[0]).toMatchObject({ epoch: "e1", seq: 1 });
    },
  );

  test("listeners are awaited one after the other, then the next event", async () => {
    const [alice, socket] = await online();
    const steps: string[] = [];
    const gates: (() => void)[] = [];
    for (const name of ["first", "second"]) {
      alice.on("read_receipt", async ({ seq }) => {
        steps.push(`${name} ${seq}`);
        await new Promise<void>((resolve) => gates.push(resolve));
      });
    }
    socket.tell(receipt(1), receipt(2));
    await settled();
    expect([steps, alice.position]).toEqual([["first 1"], undefined]);
    gates.shift()?.();
    await settled();
    expect([steps.at(-1), alice.position]).toEqual(["second 1", undefined]);
    gates.shift()?.();
    await settled();
    expect([steps.at(-1), alice.position?.seq]).toEqual(["first 2", 1]);
  });

  test("a listener that throws is told of, and its event is handled", async () => {
    const [alice, socket] = await online();
    const got: number[] = [];
    alice.on("read_receipt", () => {
      throw new Error("thrown");
    });
    alice.on("read_receipt", () => Promise.reject(new Error("rejected")));
    alice.on("read_receipt", ({ seq }) => got.push(seq ?? 0));
    socket.tell(receipt(1));
    await settled();
    expect(errors.map(String)).toEqual(["Error: thrown", "Error: rejected"]);
    expect([got, alice.position?.seq]).toEqual([[1], 1]);
  });

  test("a listener that was removed is not called", async () => {
    const [alice, socket] = await online();
    const got: number[] = [];
    const listener = ({ seq }: { seq?: number }) => got.push(seq ?? 0);
    const remove = alice.on("read_receipt", listener);
    const again = alice.on("read_receipt", listener);
    remove();
    remove();
    socket.tell(receipt(1));
    await settled();
    again();
    socket.tell(receipt(2));
    await settled();
    expect(got).toEqual([1]);
  });

  test("reset is told, is the position then, and the stream goes on after it", async () => {
    const [alice, socket] = await online();
    const steps: unknown[] = [];
    alice.on("reset", (position) => steps.push(position));
    alice.on("read_receipt", ({ seq }) => steps.push(seq));
    socket.tell(receipt(7), { type: "reset", epoch: "e2", seq: 3 }, receipt(3), receipt(4));
    await settled();
    expect(steps).toEqual([7, { epoch: "e2", seq: 3 }, 4]);
    expect(alice.position).toEqual({ epoch: "e2", seq: 4 });
  });

  test("events from before a reset keep their epoch, however late they are handled", async () => {
    const storage = memoryStorage();
    const [alice, socket] = await online({ storage });
    const positions: unknown[] = [];
    let go = () => {};
    alice.on("read_receipt", () => new Promise<void>((resolve) => (go = resolve)));
    alice.on("reset", () => positions.push(alice.position));
    socket.tell(receipt(1), { type: "reset", epoch: "e2", seq: 9 });
    await settled();
    go();
    await settled();
    expect(positions).toEqual([{ epoch: "e1", seq: 1 }]);
    expect(alice.position).toEqual({ epoch: "e2", seq: 9 });
  });

  test("what was received is said at a reconnect, handled or not, and comes once", async () => {
    const [alice, socket] = await online();
    const got = seqs(alice);
    let go = () => {};
    alice.on("read_receipt", () => new Promise<void>((resolve) => (go = resolve)));
    socket.tell(receipt(1), receipt(2));
    socket.end(1006);
    await pace.pass(1000);
    gateway.last().welcome(3);
    expect(gateway.last().said[0]).toMatchObject({ epoch: "e1", seq: 2 });
    gateway.last().tell(receipt(3));
    for (let step = 0; step < 3; step++) {
      go();
      await settled();
    }
    expect(got).toEqual([1, 2, 3]);
  });

  test("after close() what no listener has got comes again, and what one has in hand does not", async () => {
    const [alice, socket] = await online();
    const got = seqs(alice);
    let go = () => {};
    alice.on("read_receipt", () => new Promise<void>((resolve) => (go = resolve)));
    socket.tell(receipt(1), receipt(2));
    await settled();
    void alice.close();
    alice.connect();
    await settled();
    expect(gateway.sockets).toHaveLength(1);
    go();
    await settled();
    gateway.last().welcome(2);
    expect(gateway.last().said[0]).toMatchObject({ seq: 1 });
    gateway.last().tell(receipt(2));
    await settled();
    expect(got).toEqual([1, 2]);
  });

  test("a client without a device resumes where it was welcomed, and acknowledges nothing", async () => {
    const [, socket] = await online({ deviceId: "" }, 41);
    expect(socket.url).toBe("ws://gateway.test/ws?user_id=alice");
    socket.end(1006);
    await pace.pass(1000);
    gateway.last().welcome(42);
    expect(gateway.last().said[0]).toMatchObject({ epoch: "e1", seq: 41 });
    gateway.last().tell(receipt(42));
    await pace.pass(1000);
    expect(gateway.last().saidOf("ack")).toEqual([]);
  });

  test("slow listeners make the client leave, and it resumes when they have caught up", async () => {
    const [alice, socket] = await online();
    let go = () => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    const got = seqs(alice);
    alice.on("read_receipt", () => gate);
    const all = Array.from({ length: 12_000 }, (_, index) => receipt(index + 1));
    for (let at = 0; at < all.length; at += 400) {
      socket.tell({ type: "read_receipts", receipts: all.slice(at, at + 400) });
    }
    await pace.pass(60_000);
    expect([alice.status, gateway.sockets.length]).toEqual(["waiting", 1]);
    expect(statuses.at(-1)?.reason).toBe("the listeners are too slow");
    go();
    await pace.pass(1000);
    gateway.last().welcome(12_000);
    const said = gateway.last().said[0]?.["seq"] as number;
    gateway.last().tell(...all.slice(said));
    await settled();
    expect(got).toEqual(all.map((_, index) => index + 1));
  });
});

describe("acknowledgements", () => {
  test("at most one per 200 ms, of the last that is handled", async () => {
    const [, socket] = await online();
    for (let seq = 1; seq <= 100; seq++) {
      socket.tell(receipt(seq));
      await pace.pass(10);
    }
    await pace.pass(200);
    const acked = socket.saidOf("ack").map((frame) => frame["seq"] as number);
    expect(acked.length).toBeLessThanOrEqual(6);
    expect(acked.at(-1)).toBe(100);
    expect(acked).toEqual([...new Set(acked)].sort((a, b) => a - b));
  });

  test("close() acknowledges before it closes", async () => {
    const [alice, socket] = await online();
    socket.tell(receipt(1));
    await settled();
    void alice.close();
    expect(socket.said.at(-1)).toEqual({ type: "ack", seq: 1 });
    expect(socket.closed).toBe(1000);
  });

  test("what was handled while the connection was away is acknowledged on the next", async () => {
    const [alice, socket] = await online();
    let go = () => {};
    alice.on("read_receipt", () => new Promise<void>((resolve) => (go = resolve)));
    socket.tell(receipt(1));
    socket.end(1006);
    await pace.pass(1000);
    go();
    gateway.last().welcome(1);
    await pace.pass(200);
    expect(gateway.last().saidOf("ack")).toEqual([{ type: "ack", seq: 1 }]);
  });

  test("nothing above the head is acknowledged: a reset is on its way then", async () => {
    const storage = memoryStorage();
    storage.setItem("seenby alice laptop position", '{"epoch":"e1","seq":50}');
    const [, socket] = await online({ storage }, 20);
    await pace.pass(1000);
    expect(socket.saidOf("ack")).toEqual([]);
    socket.tell({ type: "reset", epoch: "e1", seq: 20 });
    await pace.pass(1000);
    expect(socket.saidOf("ack")).toEqual([{ type: "ack", seq: 20 }]);
  });
});

describe("another epoch", () => {
  test("a position of the old one is acknowledged to nobody, and that of the reset is", async () => {
    const [, socket] = await online();
    socket.tell(...Array.from({ length: 30 }, (_, index) => receipt(index + 1)));
    await pace.pass(200);
    expect(socket.saidOf("ack")).toEqual([{ type: "ack", seq: 30 }]);
    socket.end(4000);
    await pace.pass(0);
    gateway.last().welcome(40, "e2");
    await pace.pass(200);
    expect(gateway.last().saidOf("ack")).toEqual([]);
    gateway.last().tell({ type: "reset", epoch: "e2", seq: 20 });
    await pace.pass(200);
    expect(gateway.last().saidOf("ack")).toEqual([{ type: "ack", seq: 20 }]);
  });

  test("its events are news, whatever their seq", async () => {
    const [alice, socket] = await online();
    const got = seqs(alice);
    socket.tell(receipt(9));
    socket.end(1006);
    await pace.pass(1000);
    gateway.last().welcome(2, "e2");
    gateway.last().tell(receipt(1), receipt(1), receipt(2));
    await settled();
    expect([got, alice.position]).toEqual([[9, 1, 2], { epoch: "e2", seq: 2 }]);
  });
});

describe("looking on", () => {
  test("each raw frame is shown, and no token", async () => {
    const alice = client({ token: "secret" });
    const frames: Events["frame"][] = [];
    alice.on("frame", (frame) => frames.push(frame));
    alice.connect();
    await settled();
    gateway.last().welcome();
    expect(frames.map(({ direction }) => direction)).toEqual(["out", "in"]);
    expect(frames[0]?.text).toBe(
      '{"type":"hello","token":"...","device_id":"laptop","batch":true}',
    );
    expect(JSON.parse(frames[1]?.text ?? "")).toMatchObject({ type: "welcome", seq: 0 });
  });

  test("errors that nobody listens for are written to the console", async () => {
    const written = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const alice = new Seenby({
      userId: "alice",
      api: "http://api.test",
      gateway: "ws://gateway.test/ws",
      storage: memoryStorage(),
      WebSocket: gateway.WebSocket,
      pace,
    });
    alice.on("status", () => {
      throw new Error("oops");
    });
    alice.connect();
    await alice.close();
    expect(written.mock.calls).toEqual(Array(2).fill(["seenby:", new Error("oops")]));
    written.mockRestore();
  });
});

describe("what is given to a client", () => {
  test.each([
    [{ userId: "" }, "userId"],
    [{ userId: "a b" }, "userId"],
    [{ userId: "x".repeat(65) }, "userId"],
    [{ userId: "alice", deviceId: "my laptop" }, "deviceId"],
    [{ userId: "alice", gateway: "/ws" }, "gateway"],
    [{ userId: "alice", gateway: "chat.example.com" }, "gateway"],
  ])("%o is refused by name", (options, name) => {
    expect(() => new Seenby({ api: "http://api.test", ...options })).toThrow(
      expect.objectContaining({ code: "bad_request", message: expect.stringContaining(name) }),
    );
  });

  test("outside a browser the API's address must be given", () => {
    expect(() => new Seenby({ userId: "alice" })).toThrow("api must be given");
  });
});
