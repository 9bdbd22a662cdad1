// The calls of the API, against a real seenby.

import { afterAll, beforeAll, expect, test } from "vitest";

import { Seenby, SeenbyError } from "../src/index.js";
import { FakePace, settled } from "./fake/pace.js";
import { client, message, names, post, read } from "./real/clients.js";
import { Server } from "./real/seenby.js";

let server: Server;
let alice: Seenby;
let bob: Seenby;

beforeAll(async () => {
  server = await Server.start();
  alice = new Seenby({ userId: "alice", api: `${server.api}/` });
  bob = new Seenby({ userId: "bob", api: server.api });
  await post(
    server,
    "/api/v1/conversations/team",
    {
      type: "group",
      members: ["alice", "bob", "carol"],
    },
    "PUT",
  );
  await post(server, "/api/v1/messages/batch", {
    messages: names("t", 5).map((msg_id) => ({
      msg_id,
      conversation_id: "team",
      sender_id: "alice",
    })),
  });
});
afterAll(() => server.remove());

test("unread messages are counted, listed in pages, read in one go and taken back", async () => {
  expect(await bob.unreadCounts()).toEqual({
    user_id: "bob",
    count: 5,
    conversations: [{ conversation_id: "team", conversation_type: "group", count: 5 }],
  });
  const page = await bob.unread({ limit: 2, conversation_id: "team" });
  expect(page.messages.map(({ msg_id }) => msg_id)).toEqual(["t1", "t2"]);
  expect((await bob.unread({ offset: page.next_offset })).messages).toHaveLength(3);
  expect(await bob.readConversation("team", "t2")).toBe(2);
  expect(await bob.readConversation("team")).toBe(3);
  expect((await bob.unreadCounts()).count).toBe(0);
  expect(await bob.unmark("t5")).toMatchObject({ msg_id: "t5", reader_id: "bob" });
  expect((await bob.unreadCounts()).count).toBe(1);
  await expect(bob.unmark("t5")).rejects.toMatchObject({
    name: "SeenbyError",
    code: "not_found",
    status: 404,
    retriable: false,
  });
});

test("who has read messages: one, many, none, and in pages of names", async () => {
  await read(server, "alice", ["r1", "r2"]);
  expect(await alice.receipts([])).toEqual([]);
  expect(await alice.receipts(["r1"])).toMatchObject([{ msg_id: "r1", count: 1 }]);
  const many = await alice.receipts(["r2", "r1", "unknown", "r2"]);
  expect(many.map(({ msg_id, count }) => `${msg_id} ${count}`)).toEqual([
    "r2 1",
    "r1 1",
    "unknown 0",
  ]);
  for (const reader of names("reader", 5)) {
    await new Seenby({ userId: reader, api: server.api }).mark(message("r3", "alice"));
  }
  const got: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await alice.receiptsOf("r3", { limit: 2, cursor });
    expect(page.count).toBe(5);
    got.push(...page.receipts.map(({ reader_id }) => reader_id));
    cursor = page.next_cursor;
  } while (cursor);
  expect(got).toEqual(names("reader", 5));
});

test("more ids than fit into one request or one address are asked for in several", async () => {
  // Of characters that an address holds as three each.
  const ids = names("", 250).map((name) => name.padStart(64, "%"));
  expect((await alice.receipts(ids)).map(({ msg_id }) => msg_id)).toEqual(ids);
});

test("another's messages look like unknown ones", async () => {
  expect(await client(server, "mallory").receipts(["t1"])).toMatchObject([
    { count: 0, receipts: [] },
  ]);
});

test("wishes are kept, for all conversations and for one, and taken back", async () => {
  expect(await bob.setPreferences({ send_receipts: false })).toEqual({
    user_id: "bob",
    send_receipts: false,
    conversations: [],
  });
  const both = await bob.setPreferences({ send_receipts: true, conversation_id: "team" });
  expect(both.conversations).toEqual([{ conversation_id: "team", send_receipts: true }]);
  expect((await bob.setPreferences({ send_receipts: null })).send_receipts).toBeNull();
});

test("a user's id may hold what an address may not", async () => {
  const odd = client(server, "a/b?c#%&+");
  expect(await odd.setPreferences({ send_receipts: false })).toMatchObject({
    user_id: "a/b?c#%&+",
  });
  expect((await odd.unreadCounts()).user_id).toBe("a/b?c#%&+");
});

test("what is refused names the field", async () => {
  await expect(bob.unread({ limit: 0 })).rejects.toMatchObject({
    code: "bad_request",
    message: expect.stringContaining("limit") as string,
  });
});

test("a refused mark is told and gone", async () => {
  await expect(
    bob.mark({ msg_id: "o1", sender_id: "bob", conversation_id: "c1" }),
  ).rejects.toMatchObject({ code: "own_message" });
  await expect(bob.mark({ msg_id: "nobody-knows-it" })).rejects.toBeInstanceOf(SeenbyError);
  expect(bob.pending).toEqual([]);
});

test("a call is tried again while that can help, with growing pauses, and then told", async () => {
  const pace = new FakePace();
  let tries = 0;
  const away = client(server, "bob", {
    pace,
    fetch: () => {
      tries += 1;
      return Promise.reject(new TypeError("fetch failed"));
    },
  });
  const failing = away.unreadCounts().catch((error: unknown) => error);
  await pace.pass(10_000);
  expect(await failing).toMatchObject({ code: "unreachable", retriable: true });
  expect(tries).toBe(5);
});

test("who is told to come back in a minute is told so", async () => {
  const pace = new FakePace();
  const busy = client(server, "bob", {
    pace,
    fetch: () =>
      Promise.resolve(
        Response.json(
          { code: "draining", error: "later" },
          { status: 503, headers: { "Retry-After": "60" } },
        ),
      ),
  });
  const failing = busy.unreadCounts().catch((error: unknown) => error);
  await settled();
  expect(await failing).toMatchObject({ code: "draining", retryAfter: 60 });
});
