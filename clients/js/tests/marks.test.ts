// The rules of marks: what is kept, which way it goes, and when it is tried again. Gateway, API and
// clock are the test's own.

import { beforeEach, describe, expect, test } from "vitest";

import { memoryStorage, Seenby, SeenbyError, type KeyValue, type Options } from "../src/index.js";
import { fakeGateway } from "./fake/gateway.js";
import { FakePace, settled } from "./fake/pace.js";

type Answer = Response | Error;
interface Call {
  path: string;
  body: { receipts: Record<string, string>[] };
  answer(answer: Answer): Promise<void>;
}

let gateway: ReturnType<typeof fakeGateway>;
let pace: FakePace;
let calls: Call[];
let told: string[];

beforeEach(() => {
  gateway = fakeGateway();
  pace = new FakePace();
  calls = [];
  told = [];
});

const api: typeof fetch = (url, init) =>
  new Promise((resolve, reject) => {
    calls.push({
      path: new URL(String(url)).pathname,
      body: JSON.parse(String(init?.body)) as Call["body"],
      answer: async (answer) => {
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
        await settled();
      },
    });
    init?.signal?.addEventListener("abort", () => reject(new Error("aborted")));
  });

function client(more: Partial<Options> = {}): Seenby {
  const made = new Seenby({
    userId: "bob",
    api: "http://api.test",
    gateway: "ws://gateway.test/ws",
    deviceId: "phone",
    storage: memoryStorage(),
    fetch: api,
    WebSocket: gateway.WebSocket,
    pace,
    ...more,
  });
  made.on("marked", ({ msg_id }) => told.push(`marked ${msg_id}`));
  made.on("refused", ({ mark, code }) => told.push(`refused ${mark.msg_id} ${code}`));
  made.on("error", (error) => told.push(`error ${(error as SeenbyError).code ?? error.message}`));
  return made;
}

const receiptOf = (msg_id: string) => ({ id: 1, msg_id, reader_id: "bob" });
const good = (msg_id: string) => ({ success: true, receipt: receiptOf(msg_id) });
const bad = (code: string) => ({ success: false, code, error: `${code} it is` });
const answered = (...results: object[]) => Response.json({ success: true, results });
const failed = (status: number, code: string, retryAfter?: number) =>
  Response.json(bad(code), {
    status,
    ...(retryAfter ? { headers: { "Retry-After": String(retryAfter) } } : {}),
  });
const ids = (marks: readonly { msg_id?: string }[]) => marks.map(({ msg_id }) => msg_id);

async function keysOf(storage: KeyValue): Promise<string[]> {
  return [...(await storage.keys())].filter((key) => key.includes(" mark ")).sort();
}

describe("by HTTP", () => {
  test("marks of one moment go in one request, with reader and device", async () => {
    const bob = client();
    const first = bob.mark({ msg_id: "m1", sender_id: "alice", conversation_id: "c1" });
    void bob.mark({ msg_id: "m2" });
    await settled();
    expect(calls.map(({ path }) => path)).toEqual(["/api/v1/messages/read/batch"]);
    expect(calls[0]?.body.receipts).toEqual([
      {
        msg_id: "m1",
        sender_id: "alice",
        conversation_id: "c1",
        reader_id: "bob",
        device_id: "phone",
      },
      { msg_id: "m2", reader_id: "bob", device_id: "phone" },
    ]);
    await calls[0]?.answer(answered(good("m1"), good("m2")));
    expect(await first).toEqual(receiptOf("m1"));
    expect(bob.pending).toEqual([]);
    expect(told).toEqual(["marked m1", "marked m2"]);
  });

  test("one request at a time, of at most 1000 marks and less than 1 MiB", async () => {
    const bob = client();
    // Ids at their longest, of characters that JSON escapes.
    const long = (n: number, length: number) => String(n).padEnd(length, '"');
    for (let n = 0; n < 2500; n++) {
      void bob.mark({
        msg_id: long(n, 64),
        sender_id: long(n, 64),
        conversation_id: long(n, 128),
        conversation_type: "private",
      });
    }
    for (const size of [1000, 1000, 500]) {
      await settled();
      const { body, answer } = calls.shift()!;
      expect(calls).toEqual([]);
      expect(body.receipts).toHaveLength(size);
      expect(JSON.stringify(body).length).toBeLessThan(1024 * 1024);
      await answer(answered(...body.receipts.map((mark) => good(mark["msg_id"]!))));
    }
    expect(bob.pending).toEqual([]);
  });

  test("what is marked while a request is under way goes with the next", async () => {
    const bob = client();
    void bob.mark({ msg_id: "m1" });
    await settled();
    void bob.mark({ msg_id: "m2" });
    await settled();
    expect(calls).toHaveLength(1);
    await calls[0]?.answer(answered(good("m1")));
    expect(ids(calls[1]?.body.receipts ?? [])).toEqual(["m2"]);
  });

  test("pauses grow with each failure, and are short again after a success", async () => {
    const bob = client();
    void bob.mark({ msg_id: "m1" });
    const waits: number[] = [];
    for (const answer of [
      failed(503, "draining"),
      failed(503, "draining"),
      failed(503, "draining"),
      answered(good("m1")),
      failed(503, "draining"),
    ]) {
      await settled();
      await calls.shift()?.answer(answer);
      waits.push(...pace.waits);
      await pace.pass(pace.waits[0] ?? 0);
      if (!bob.pending.length) void bob.mark({ msg_id: "m2" });
    }
    expect(waits).toEqual([500, 1000, 2000, 500]);
  });

  test("after close() nothing is waited for", async () => {
    const bob = client();
    void bob.mark({ msg_id: "m1" });
    await settled();
    await calls[0]?.answer(failed(503, "draining"));
    expect(pace.waits).toEqual([500]);
    await bob.close();
    expect(pace.waits).toEqual([]);
  });

  test("a token that does not hold says nothing of the mark", async () => {
    const bob = client();
    void bob.mark({ msg_id: "m1" });
    await settled();
    await calls[0]?.answer(answered(bad("token_expired")));
    expect([told, ids(bob.pending), pace.waits]).toEqual([[], ["m1"], [500]]);
  });

  test("a message that is marked twice is one mark", async () => {
    const bob = client();
    const first = bob.mark({ msg_id: "m1" });
    expect(bob.mark({ msg_id: "m1" })).toBe(first);
    await settled();
    expect(calls[0]?.body.receipts).toHaveLength(1);
  });

  test("of a message that is marked again while its mark waits, the fields given last count", async () => {
    const storage = memoryStorage();
    const bob = client({ storage, via: "socket" });
    const first = bob.mark({ msg_id: "m1", sender_id: "alize", conversation_id: "c1" });
    expect(bob.mark({ msg_id: "m1", sender_id: "alice" })).toBe(first);
    expect(bob.pending).toEqual([{ msg_id: "m1", sender_id: "alice" }]);
    const after = client({ storage });
    expect(after.pending).toEqual([{ msg_id: "m1", sender_id: "alice" }]);
  });

  test("what is refused with old fields is sent with those that were given meanwhile", async () => {
    const bob = client();
    const promise = bob.mark({ msg_id: "m1", sender_id: "alize" });
    await settled();
    void bob.mark({ msg_id: "m1", sender_id: "alice" });
    await calls[0]?.answer(answered(bad("mismatch")));
    expect([told, calls[1]?.body.receipts[0]?.["sender_id"]]).toEqual([[], "alice"]);
    await calls[1]?.answer(answered(good("m1")));
    expect(await promise).toEqual(receiptOf("m1"));
    expect([told, bob.pending, calls.length]).toEqual([["marked m1"], [], 2]);
  });

  describe("a proxy that takes less than the API", () => {
    /** Answers the requests that come, with 413 where a body has more characters. */
    async function proxy(limit: number, done: () => boolean): Promise<number[]> {
      const sizes: number[] = [];
      while (!done()) {
        await settled();
        const { body, answer } = calls.shift()!;
        sizes.push(body.receipts.length);
        const fits = JSON.stringify(body).length <= limit;
        await answer(
          fits
            ? answered(...body.receipts.map((mark) => good(mark["msg_id"]!)))
            : new Response("<html>too large", { status: 413 }),
        );
      }
      return sizes;
    }

    test("a batch that is too large is halved until it passes, at once and for good", async () => {
      const bob = client();
      for (let n = 0; n < 1000; n++) void bob.mark({ msg_id: `m${n}` });
      const sizes = await proxy(20_000, () => !bob.pending.length);
      expect(sizes).toEqual([1000, 500, 250, 250, 250, 250]);
      expect([told.length, told.every((line) => line.startsWith("marked"))]).toEqual([1000, true]);
      void Array.from({ length: 300 }, (_, n) => bob.mark({ msg_id: `n${n}` }));
      expect(await proxy(20_000, () => !bob.pending.length)).toEqual([250, 50]);
      expect(pace.waits).toEqual([]);
    });

    test("a single mark that is too large is refused, and no other", async () => {
      const bob = client();
      const large = bob.mark({ msg_id: "m1", conversation_id: "x".repeat(128) });
      const small = bob.mark({ msg_id: "m2" });
      expect(await proxy(150, () => !bob.pending.length)).toEqual([2, 1, 1]);
      await expect(large).rejects.toMatchObject({ code: "too_large" });
      expect(await small).toEqual(receiptOf("m2"));
      expect(told).toEqual(["refused m1 too_large", "marked m2"]);
    });
  });

  test.each([
    ["503", () => failed(503, "store_unavailable", 2), 2500],
    ["429", () => failed(429, "too_many", 1), 1500],
    ["a proxy's 502", () => new Response("<html>", { status: 502 }), 500],
    ["a proxy's page", () => new Response("<html>"), 500],
    ["no network", () => new TypeError("failed to fetch"), 500],
    ["an answer without results", () => answered(), 500],
    ["a mark that was not recorded", () => answered(bad("store_unavailable")), 500],
  ])(
    "%s: tried again after a pause with jitter and what Retry-After says",
    async (_, answer, wait) => {
      const bob = client();
      void bob.mark({ msg_id: "m1" });
      await settled();
      await calls[0]?.answer(answer());
      await pace.pass(wait - 1);
      expect(calls).toHaveLength(1);
      await pace.pass(1);
      expect(calls).toHaveLength(2);
      expect(ids(bob.pending)).toEqual(["m1"]);
      await calls[1]?.answer(answered(good("m1")));
      expect(told).toEqual(["marked m1"]);
    },
  );

  test("what is taken back before it was sent is never sent", async () => {
    const storage = memoryStorage();
    const bob = client({ storage });
    const marking = bob.mark({ msg_id: "m1" });
    const unmarking = bob.unmark("m1");
    await expect(marking).rejects.toMatchObject({ code: "not_found" });
    const refusal = expect(unmarking).rejects.toMatchObject({ code: "not_found" });
    await settled();
    expect(calls.map(({ path }) => path)).toEqual(["/api/v1/messages/read"]);
    await calls[0]?.answer(failed(404, "not_found"));
    await refusal;
    expect([bob.pending, await keysOf(storage)]).toEqual([[], []]);
  });

  test("what a tab that is gone has left is taken back with its message", async () => {
    const storage = memoryStorage();
    const bob = client({ storage });
    storage.setItem("seenby bob phone mark m1", '{"msg_id":"m1"}');
    void bob.unmark("m1").catch(() => undefined);
    await settled();
    expect(await keysOf(storage)).toEqual([]);
  });

  test("what is taken back while it is under way is marked first", async () => {
    const bob = client();
    const marking = bob.mark({ msg_id: "m1" });
    await settled();
    const unmarking = bob.unmark("m1");
    await settled();
    expect(calls.map(({ path }) => path)).toEqual(["/api/v1/messages/read/batch"]);
    await calls[0]?.answer(answered(good("m1")));
    expect((await marking).msg_id).toBe("m1");
    expect(calls.map(({ path }) => path)).toEqual([
      "/api/v1/messages/read/batch",
      "/api/v1/messages/read",
    ]);
    await calls[1]?.answer(Response.json(good("m1")));
    expect((await unmarking).msg_id).toBe("m1");
  });

  test("an answer that does not come in ten seconds is not waited for any longer", async () => {
    const bob = client();
    void bob.mark({ msg_id: "m1" });
    await pace.pass(10_500);
    expect(calls).toHaveLength(2);
  });

  test("nobody waits longer than an hour, whatever Retry-After says", async () => {
    const bob = client();
    void bob.mark({ msg_id: "m1" });
    await settled();
    await calls[0]?.answer(failed(503, "draining", 1e12));
    expect(pace.waits).toEqual([3_600_500]);
  });

  test("refused for good: gone, told, and the promise rejects", async () => {
    const storage = memoryStorage();
    const bob = client({ storage });
    const promise = bob.mark({ msg_id: "m1" });
    await settled();
    await calls[0]?.answer(answered(bad("own_message")));
    await expect(promise).rejects.toMatchObject({ code: "own_message", retriable: false });
    expect(told).toEqual(["refused m1 own_message"]);
    expect([bob.pending, await keysOf(storage)]).toEqual([[], []]);
  });

  test("a request that is refused whole drops no mark; connect() tries again", async () => {
    const bob = client();
    void bob.mark({ msg_id: "m1" });
    await settled();
    await calls[0]?.answer(failed(403, "forbidden"));
    await pace.pass(100_000);
    expect([calls.length, told, ids(bob.pending)]).toEqual([1, ["error forbidden"], ["m1"]]);
    bob.connect();
    await settled();
    gateway.last().end(1006);
    await settled();
    expect(calls).toHaveLength(2);
  });

  test("401 asks for another token once", async () => {
    let made = 0;
    const shown: (string | null)[] = [];
    const bob = client({
      token: () => `t${++made}`,
      fetch: (_, init) => {
        shown.push(new Headers(init?.headers).get("Authorization"));
        return Promise.resolve(failed(401, "token_expired"));
      },
    });
    void bob.mark({ msg_id: "m1" });
    await settled();
    expect(shown).toEqual(["Bearer t1", "Bearer t2"]);
    expect(told).toEqual(["error token_expired"]);
    expect(ids(bob.pending)).toEqual(["m1"]);
  });
});

describe("over the socket", () => {
  async function online(more: Partial<Options> = {}): Promise<Seenby> {
    const bob = client(more);
    bob.connect();
    await settled();
    gateway.last().welcome();
    await settled();
    return bob;
  }

  const sent = () => gateway.last().saidOf("read");
  const answer = (frame: Record<string, unknown> | undefined, result: object) =>
    gateway.last().tell({ type: "read_result", ref: frame?.["ref"], ...result });

  test("at most 100 are under way, and answers are matched whatever their order", async () => {
    const bob = await online();
    for (let n = 0; n < 150; n++) void bob.mark({ msg_id: `m${n}` });
    await settled();
    expect(sent()).toHaveLength(100);
    void bob.mark({ msg_id: "m150" });
    await settled();
    expect(sent()).toHaveLength(100);
    for (const frame of sent().reverse()) answer(frame, good(String(frame["msg_id"])));
    await settled();
    expect(ids(sent() as never[]).slice(100)).toEqual(
      Array.from({ length: 51 }, (_, n) => `m${100 + n}`),
    );
    for (const frame of sent().slice(100)) answer(frame, good(String(frame["msg_id"])));
    await settled();
    expect([bob.pending, told.length, calls]).toEqual([[], 151, []]);
  });

  test("what is under way when the socket breaks goes again, by HTTP while there is none", async () => {
    const bob = await online();
    void bob.mark({ msg_id: "m1" });
    await settled();
    expect(sent()).toHaveLength(1);
    gateway.last().end(1006);
    await settled();
    expect(ids(calls[0]?.body.receipts ?? [])).toEqual(["m1"]);
    await calls[0]?.answer(new Error("no network"));
    await pace.pass(500);
    gateway.last().welcome();
    await settled();
    expect(ids(sent() as never[])).toEqual(["m1"]);
    answer(sent()[0], good("m1"));
    await settled();
    expect(told).toEqual(["marked m1"]);
  });

  test("a pause that was for want of a network is over with the first welcome", async () => {
    const bob = client();
    void bob.mark({ msg_id: "m1" });
    for (const wait of [500, 1000, 2000]) {
      await settled();
      await calls.shift()?.answer(new Error("no network"));
      if (wait < 2000) await pace.pass(wait);
    }
    bob.connect();
    await settled();
    gateway.last().welcome();
    await settled();
    expect(sent()).toHaveLength(1);
  });

  test("via socket: nothing goes by HTTP, however long there is no socket", async () => {
    const bob = client({ via: "socket" });
    void bob.mark({ msg_id: "m1" });
    bob.connect();
    await settled();
    gateway.last().end(1006);
    await pace.pass(400);
    expect(calls).toEqual([]);
    await pace.pass(100);
    gateway.last().welcome();
    await settled();
    expect(sent()).toHaveLength(1);
  });

  test("via http: nothing goes over the socket", async () => {
    const bob = await online({ via: "http" });
    void bob.mark({ msg_id: "m1" });
    await settled();
    expect([sent().length, calls.length]).toEqual([0, 1]);
  });

  test("not recorded now: again after a pause; refused for good: told", async () => {
    const bob = await online();
    void bob.mark({ msg_id: "m1" });
    void bob.mark({ msg_id: "m2" });
    await settled();
    answer(sent()[0], bad("store_unavailable"));
    answer(sent()[1], bad("mismatch"));
    await pace.pass(499);
    expect(sent()).toHaveLength(2);
    await pace.pass(1);
    expect(ids(sent() as never[])).toEqual(["m1", "m2", "m1"]);
    expect(told).toEqual(["refused m2 mismatch"]);
  });

  test("an answer that does not come makes the client ask whether anybody is there", async () => {
    const bob = await online();
    void bob.mark({ msg_id: "m1" });
    await pace.pass(10_000);
    expect(gateway.last().saidOf("ping")).toHaveLength(1);
    await pace.pass(10_000);
    expect(bob.status).toBe("waiting");
    expect(calls).toHaveLength(1);
  });

  test("answers that nobody waits for change nothing", async () => {
    const bob = await online();
    answer({ ref: 99 }, good("m1"));
    answer({}, bad("bad_request"));
    expect([bob.status, told]).toEqual(["online", []]);
  });
});

describe("kept", () => {
  test("each mark under a key of its own, from the call to the answer", async () => {
    const storage = memoryStorage();
    const bob = client({ storage });
    void bob.mark({ msg_id: "m1", sender_id: "alice" });
    void bob.mark({ msg_id: "m2" });
    // Before anything else has had a turn: the page may be closed now.
    expect(await keysOf(storage)).toEqual(["seenby bob phone mark m1", "seenby bob phone mark m2"]);
    await settled();
    await calls[0]?.answer(answered(good("m1"), good("m2")));
    expect(await keysOf(storage)).toEqual([]);
  });

  test("the next page load sends them on connect(), not before", async () => {
    const storage = memoryStorage();
    const before = client({ storage });
    void before.mark({ msg_id: "m1", sender_id: "alice" });
    await settled();
    calls.length = 0;
    const after = client({ storage });
    expect(after.pending).toEqual([{ msg_id: "m1", sender_id: "alice" }]);
    await pace.pass(5000);
    expect(calls).toEqual([]);
    after.connect();
    await settled();
    gateway.last().welcome();
    await settled();
    expect(gateway.last().saidOf("read")[0]).toMatchObject({ msg_id: "m1", sender_id: "alice" });
  });

  test("after close() marks wait for connect()", async () => {
    const bob = client();
    bob.connect();
    await bob.close();
    void bob.mark({ msg_id: "m1" });
    await pace.pass(100_000);
    expect([calls.length, ids(bob.pending), pace.waits]).toEqual([0, ["m1"], []]);
    bob.connect();
    await settled();
    gateway.last().welcome();
    await settled();
    expect(gateway.last().saidOf("read")).toHaveLength(1);
  });

  test("users and devices of one storage keep apart", async () => {
    const storage = memoryStorage();
    void client({ storage, userId: "bob", deviceId: "phone" }).mark({ msg_id: "m1" });
    expect(client({ storage, userId: "bob", deviceId: "laptop" }).pending).toEqual([]);
    expect(client({ storage, userId: "bo", deviceId: "phone" }).pending).toEqual([]);
    expect(client({ storage, userId: "bob", deviceId: "phone" }).pending).toHaveLength(1);
  });

  test("a device id is made once", () => {
    const storage = memoryStorage();
    const first = client({ storage, deviceId: undefined }).deviceId;
    expect(first).toMatch(/^[!-~]{1,64}$/);
    expect(client({ storage, deviceId: undefined }).deviceId).toBe(first);
    expect(client({ storage: memoryStorage(), deviceId: undefined }).deviceId).not.toBe(first);
  });

  test("what somebody else wrote under such a key is removed, and sent to nobody", async () => {
    const storage = memoryStorage();
    for (const text of ["", "{", "null", "[]", '{"msg_id":"a b"}', '{"msg_id":7}']) {
      storage.setItem(`seenby bob phone mark ${text}`, text);
    }
    storage.setItem("seenby bob phone position", '{"epoch":1,"seq":"x"}');
    const bob = client({ storage });
    expect([bob.pending, bob.position, await keysOf(storage)]).toEqual([[], undefined, []]);
  });
});

describe("several tabs", () => {
  test("a mark that its tab has not got rid of in ten seconds is sent by another", async () => {
    const storage = memoryStorage();
    const here = client({ storage });
    here.connect();
    await settled();
    gateway.last().welcome();
    const socket = gateway.last();
    const gone = client({ storage, via: "socket" });
    gone.connect();
    await settled();
    pace.chance = 0.9;
    gateway.last().end(1001);
    await settled();
    const promise = gone.mark({ msg_id: "m1" });
    await pace.pass(4999);
    expect(socket.saidOf("read")).toEqual([]);
    await pace.pass(5001);
    expect(socket.saidOf("read")).toHaveLength(1);
    socket.tell({ type: "read_result", ref: socket.saidOf("read")[0]?.["ref"], ...good("m1") });
    expect(await keysOf(storage)).toEqual([]);
    // Its own tab still owes somebody the answer, and asks for it: a mark twice is a mark once.
    expect(ids(gone.pending)).toEqual(["m1"]);
    gone.connect();
    await settled();
    gateway.last().welcome();
    await settled();
    const again = gateway.last().saidOf("read")[0];
    gateway.last().tell({ type: "read_result", ref: again?.["ref"], ...good("m1") });
    expect(await promise).toEqual(receiptOf("m1"));
  });

  test("a mark that another tab got answered is nobody's business any more", async () => {
    const storage = memoryStorage();
    storage.setItem("seenby bob phone mark m1", '{"msg_id":"m1"}');
    const [one, two] = [client({ storage }), client({ storage })];
    two.connect();
    await settled();
    expect([ids(one.pending), ids(two.pending)]).toEqual([["m1"], ["m1"]]);
    one.connect();
    await settled();
    gateway.last().welcome();
    await settled();
    const socket = gateway.last();
    socket.tell({ type: "read_result", ref: socket.saidOf("read")[0]?.["ref"], ...good("m1") });
    expect([one.pending, two.pending]).toEqual([[], []]);
  });

  describe("where the storage lets one at a time", () => {
    /** As Web Locks do: whoever asks waits for all who asked before. */
    function locking(kept: KeyValue): { storage: KeyValue; die(): void } {
      let last = Promise.resolve();
      let die = () => {};
      return {
        storage: {
          ...kept,
          lock: (_, work) => {
            const turn = () => Promise.race([work(), new Promise<void>((dead) => (die = dead))]);
            return (last = last.then(turn));
          },
        },
        die: () => die(),
      };
    }

    /** A tab that is online, and its socket. */
    async function tab(storage: KeyValue) {
      const made = client({ storage });
      made.connect();
      await settled();
      const socket = gateway.last();
      socket.welcome();
      await settled();
      const answer = async () => {
        for (const { ref, msg_id } of socket.saidOf("read")) {
          socket.tell({ type: "read_result", ref, ...good(String(msg_id)) });
        }
        await settled();
      };
      return { made, socket, answer, said: () => ids(socket.saidOf("read") as never[]) };
    }

    function left(): KeyValue {
      const kept = memoryStorage();
      for (const id of ["m1", "m2"]) {
        kept.setItem(`seenby bob phone mark ${id}`, `{"msg_id":"${id}"}`);
      }
      // Other tabs are told late, or not at all.
      return { ...kept, watch: () => () => undefined };
    }

    test("what is kept is sent by one tab, and the next finds nothing left", async () => {
      const { storage } = locking(left());
      const [one, two] = [await tab(storage), await tab(storage)];
      expect([one.said(), two.said(), ids(two.made.pending)]).toEqual([
        ["m1", "m2"],
        [],
        ["m1", "m2"],
      ]);
      await one.answer();
      expect([two.said(), one.made.pending, two.made.pending]).toEqual([[], [], []]);
    });

    test("who had to wait for its turn looks a second later: localStorage is seen late", async () => {
      const { storage } = locking(left());
      const before = [...(await storage.keys())];
      let late = true;
      const view: KeyValue = {
        ...storage,
        keys: () => (late ? before : storage.keys()),
        getItem: (key) => (late ? `{"msg_id":"${key.slice(-2)}"}` : storage.getItem(key)),
      };
      const [one, two] = [await tab(storage), await tab(view)];
      await pace.pass(100);
      await one.answer();
      await pace.pass(900);
      late = false;
      await pace.pass(100);
      expect([two.said(), two.made.pending]).toEqual([[], []]);
    });

    test("a tab's own marks wait for no other tab", async () => {
      const { storage } = locking(left());
      await tab(storage);
      const two = await tab(storage);
      const promise = two.made.mark({ msg_id: "m3" });
      await settled();
      expect(two.said()).toEqual(["m3"]);
      await two.answer();
      expect(await promise).toEqual(receiptOf("m3"));
    });

    test("what a tab leaves that dies in its turn is sent by the next", async () => {
      const { storage, die } = locking(left());
      const one = await tab(storage);
      const two = await tab(storage);
      one.socket.tell({
        type: "read_result",
        ref: one.socket.saidOf("read")[0]?.["ref"],
        ...good("m1"),
      });
      die();
      await settled();
      expect(two.said()).toEqual(["m2"]);
    });

    test.each([
      ["is closed", (one: Awaited<ReturnType<typeof tab>>) => void one.made.close()],
      ["may not send", (one: Awaited<ReturnType<typeof tab>>) => one.socket.end(4403)],
      [
        "is told to wait",
        (one: Awaited<ReturnType<typeof tab>>) => {
          for (const { ref } of one.socket.saidOf("read")) {
            one.socket.tell({ type: "read_result", ref, ...bad("store_unavailable") });
          }
        },
      ],
    ])("a tab that %s lets the next one have its turn", async (_, stop) => {
      const { storage } = locking(left());
      const one = await tab(storage);
      const two = await tab(storage);
      stop(one);
      await settled();
      // By HTTP, without a connection: that is refused as well.
      await calls[0]?.answer(failed(403, "forbidden"));
      expect(two.said()).toEqual(["m1", "m2"]);
    });

    test("where a turn cannot be had, each sends: better twice than never", async () => {
      for (const lock of [
        () => Promise.reject(new Error("not here")),
        () => {
          throw new Error("not here");
        },
      ]) {
        const one = await tab({ ...left(), lock });
        expect(one.said()).toEqual(["m1", "m2"]);
      }
    });

    test("a storage that cannot be read when the turn comes takes nothing away", async () => {
      const { storage } = locking(left());
      let failing = false;
      const keys = () => {
        if (failing) throw new Error("away");
        return storage.keys();
      };
      const bob = client({ storage: { ...storage, keys } });
      failing = true;
      bob.connect();
      await settled();
      gateway.last().welcome();
      await settled();
      expect(ids(gateway.last().saidOf("read") as never[])).toEqual(["m1", "m2"]);
    });
  });

  test("a position is never lowered by a tab that is behind", async () => {
    const storage = memoryStorage();
    const sockets = [];
    for (const _ of [1, 2]) {
      client({ storage }).connect();
      await settled();
      gateway.last().welcome();
      sockets.push(gateway.last());
    }
    const event = (seq: number) => ({ type: "read_self", msg_id: "m", seq });
    sockets[0]?.tell(event(1), event(2), event(3));
    await settled();
    sockets[1]?.tell(event(1));
    await settled();
    expect(client({ storage }).position).toEqual({ epoch: "e1", seq: 3 });
  });

  test("a reset lowers the position also within its epoch, or events after it would be skipped", async () => {
    const storage = memoryStorage();
    client({ storage }).connect();
    await settled();
    const socket = gateway.last();
    socket.welcome();
    socket.tell({ type: "read_self", msg_id: "m", seq: 9 });
    await settled();
    socket.tell({ type: "reset", epoch: "e1", seq: 3 });
    socket.tell({ type: "read_self", msg_id: "m", seq: 4 });
    await settled();
    expect(client({ storage }).position).toEqual({ epoch: "e1", seq: 4 });
  });
});

describe("storage that fails", () => {
  const broken = (): KeyValue => {
    const fail = () => {
      throw new DOMException("no room", "QuotaExceededError");
    };
    return { getItem: fail, setItem: fail, removeItem: fail, keys: fail };
  };
  const rejecting = (): KeyValue => {
    const fail = () => Promise.reject(new Error("no database"));
    return { getItem: fail, setItem: fail, removeItem: fail, keys: fail };
  };

  test.each([
    ["throws", broken],
    ["rejects", rejecting],
  ])("one that %s loses nothing in memory and stops nothing; it is told once", async (_, make) => {
    const bob = client({ storage: make(), deviceId: undefined });
    const promise = bob.mark({ msg_id: "m1" });
    bob.connect();
    await settled();
    expect(bob.deviceId).not.toBe("");
    const socket = gateway.last();
    const got: number[] = [];
    bob.on("read_self", ({ seq }) => got.push(seq ?? 0));
    socket.welcome();
    await settled();
    socket.tell({ type: "read_result", ref: socket.saidOf("read")[0]?.["ref"], ...good("m1") });
    socket.tell(
      { type: "read_self", msg_id: "m", seq: 1 },
      { type: "read_self", msg_id: "m", seq: 2 },
    );
    await pace.pass(200);
    expect(await promise).toEqual(receiptOf("m1"));
    expect([got, bob.position?.seq]).toEqual([[1, 2], 2]);
    expect(socket.saidOf("ack")).toEqual([{ type: "ack", seq: 2 }]);
    expect(told.filter((line) => line.startsWith("error"))).toHaveLength(1);
  });
});

describe("storage that takes its time", () => {
  /** One whose every answer waits for the test. */
  function slow(kept: KeyValue): { storage: KeyValue; go(): Promise<void> } {
    const waiting: (() => void)[] = [];
    const later = <T>(work: () => T | Promise<T>) =>
      new Promise<T>((resolve) => waiting.push(() => resolve(work())));
    return {
      storage: {
        getItem: (key) => later(() => kept.getItem(key)),
        setItem: (key, value) => later(() => kept.setItem(key, value)),
        removeItem: (key) => later(() => kept.removeItem(key)),
        keys: () => later(() => kept.keys()),
      },
      async go() {
        while (waiting.length) {
          waiting.pop()?.(); // The last first: nothing but the client keeps the order.
          await settled();
        }
      },
    };
  }

  test("it is read before the client connects or sends, and then written", async () => {
    const kept = memoryStorage();
    kept.setItem("seenby bob device", "tablet");
    kept.setItem("seenby bob tablet position", '{"epoch":"e1","seq":5}');
    kept.setItem("seenby bob tablet mark m0", '{"msg_id":"m0"}');
    const { storage, go } = slow(kept);
    const bob = client({ storage, deviceId: undefined });
    bob.connect();
    void bob.mark({ msg_id: "m1" });
    await settled();
    expect([bob.deviceId, gateway.sockets.length, calls.length]).toEqual(["", 0, 0]);
    const ready = bob.ready.then(() => [bob.deviceId, bob.position?.seq, bob.pending.length]);
    await go();
    expect(await ready).toEqual(["tablet", 5, 2]);
    expect([bob.deviceId, bob.position?.seq]).toEqual(["tablet", 5]);
    expect(ids(bob.pending).sort()).toEqual(["m0", "m1"]);
    expect(await keysOf(kept)).toHaveLength(2);
    gateway.last().welcome(5);
    expect(gateway.last().said[0]).toMatchObject({ device_id: "tablet", epoch: "e1", seq: 5 });
    await go();
    for (const frame of gateway.last().saidOf("read")) {
      gateway.last().tell({ type: "read_result", ref: frame["ref"], ...good("m") });
    }
    gateway.last().tell({ type: "read_self", msg_id: "m", seq: 6 }, { type: "read_self", seq: 7 });
    await go();
    expect([bob.pending, await keysOf(kept)]).toEqual([[], []]);
    expect(await kept.getItem("seenby bob tablet position")).toBe('{"epoch":"e1","seq":7}');
  });

  test("a kept mark is taken back with its message also before it was read", async () => {
    const kept = memoryStorage();
    kept.setItem("seenby bob phone mark m1", '{"msg_id":"m1"}');
    const { storage, go } = slow(kept);
    const bob = client({ storage });
    void bob.unmark("m1").catch(() => undefined);
    await settled();
    expect(calls).toEqual([]);
    await go();
    expect(calls.map(({ path }) => path)).toEqual(["/api/v1/messages/read"]);
    expect([bob.pending, await keysOf(kept)]).toEqual([[], []]);
  });

  test("without connect() a mark made before it was read goes by HTTP then", async () => {
    const { storage, go } = slow(memoryStorage());
    const bob = client({ storage });
    void bob.mark({ msg_id: "m1" });
    await settled();
    expect(calls).toEqual([]);
    await go();
    expect(calls).toHaveLength(1);
    expect(bob.status).toBe("idle");
  });
});

describe("what cannot be a mark", () => {
  test.each([
    [{ msg_id: "" }, "msg_id"],
    [{ msg_id: "a b" }, "msg_id"],
    [{ msg_id: 7 as never }, "msg_id"],
    [{ msg_id: "m1", sender_id: "é" }, "sender_id"],
    [{ msg_id: "m1", conversation_id: "x".repeat(129) }, "conversation_id"],
    [{ msg_id: "m1", conversation_type: "channel" as never }, "conversation_type"],
  ])("%o is refused by name, and kept nowhere", async (mark, name) => {
    const bob = client();
    await expect(bob.mark(mark)).rejects.toMatchObject({
      code: "bad_request",
      message: expect.stringContaining(name) as string,
    });
    expect(bob.pending).toEqual([]);
  });

  test("fields that no mark has are not kept", async () => {
    const bob = client();
    void bob.mark({ msg_id: "m1", text: "secret" } as never);
    expect(bob.pending).toEqual([{ msg_id: "m1" }]);
  });
});
