// The stream against a real seenby.

import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket as Ws } from "ws";

import { memoryStorage, type Options } from "../src/index.js";
import { fastPace } from "./fake/pace.js";
import { acknowledged, client, heard, message, names, online, post, read } from "./real/clients.js";
import { Server } from "./real/seenby.js";
import { until } from "./real/until.js";

let server: Server;

beforeAll(async () => {
  server = await Server.start();
});
afterAll(() => server.remove());

/** Both WebSockets that Node knows: that of the package ws is the one for Node 20. */
const sockets: [string, Partial<Options>][] = [
  ["the global WebSocket", {}],
  ["ws", { WebSocket: Ws }],
];

test.each(sockets)("with %s a sender is told, and the reader answered", async (name, more) => {
  const sender = name.replaceAll(" ", "-");
  const alice = await online(client(server, sender, more));
  const got = heard(alice);
  const bob = await online(client(server, "bob", { ...more, via: "socket" }));
  const receipt = await bob.mark(message(`${sender}-1`, sender));
  expect(receipt).toMatchObject({
    msg_id: `${sender}-1`,
    reader_id: "bob",
    device_id: bob.deviceId,
  });
  await until("she is told", () => got.length === 1);
  await until("it is acknowledged", async () => (await acknowledged(server, alice)) === 1);
  expect(alice.position?.seq).toBe(1);
});

test("all kinds of events of a registered message reach whom they are for", async () => {
  await post(
    server,
    "/api/v1/conversations/team",
    { type: "group", members: ["ann", "ben"] },
    "PUT",
  );
  await post(server, "/api/v1/messages", {
    msg_id: "k1",
    conversation_id: "team",
    sender_id: "ann",
  });
  const [ann, ben] = [await online(client(server, "ann")), await online(client(server, "ben"))];
  const got: string[] = [];
  ann.on("read_receipt", ({ read, of }) => got.push(`read ${read} of ${of}`));
  ann.on("read_withdrawn", ({ read, of }) => got.push(`withdrawn ${read} of ${of}`));
  ben.on("read_self", ({ unread }) => got.push(`read_self ${unread}`));
  ben.on("unread_self", ({ unread }) => got.push(`unread_self ${unread}`));
  await ben.mark({ msg_id: "k1" });
  await until("both are told", () => got.length === 2);
  expect(got.sort()).toEqual(["read 1 of 1", "read_self 0"]);
  await ben.unmark("k1");
  await until("both are told again", () => got.length === 4);
  expect(got.slice(2).sort()).toEqual(["unread_self 1", "withdrawn 0 of 1"]);
});

test("a backlog of 10,000 comes in order, each once, and is acknowledged to its end", async () => {
  const all = names("b", 10_000);
  await read(server, "backlog", all);
  const made = client(server, "backlog");
  const got = heard(made);
  made.connect();
  await until("all have come", () => got.length >= all.length);
  await until("it is acknowledged", async () => (await acknowledged(server, made)) === 10_000);
  expect(got).toEqual(all);
});

test("a position further back than is replayed is a reset, and then it goes on", async () => {
  const storage = memoryStorage();
  const first = client(server, "far", { storage });
  const before = heard(first);
  await read(server, "far", ["f0"]);
  await online(first);
  await until("the first has come", () => before.length === 1);
  await first.close();
  await read(server, "far", names("f", 10_001));
  const back = client(server, "far", { storage });
  const got = heard(back);
  await online(back);
  await until("the reset has come", () => back.position?.seq === 10_002);
  await read(server, "far", ["live"]);
  await until("it goes on", () => got.length === 2);
  expect(got).toEqual(["reset", "live"]);
});

test("after a reload the stream goes on where the application stood", async () => {
  const storage = memoryStorage();
  const all = names("r", 30);
  const got: string[] = [];
  for (let at = 0; at < all.length; at += 10) {
    const page = client(server, "reload", { storage });
    page.on("read_receipt", ({ msg_id }) => got.push(msg_id));
    page.on("reset", () => got.push("reset"));
    page.connect();
    await read(server, "reload", all.slice(at, at + 10));
    await until("they have come", () => got.length >= at + 10);
    await page.close();
  }
  expect(got).toEqual(all);
});

test("a device without its storage goes on after what it acknowledged", async () => {
  await read(server, "lost", names("l", 3));
  const first = client(server, "lost", { deviceId: "phone" });
  const before = heard(first);
  await online(first);
  await until("they have come", () => before.length === 3);
  await first.close();
  await until("it is stored", async () => (await acknowledged(server, first)) === 3);
  await read(server, "lost", ["l4"]);
  const again = client(server, "lost", { deviceId: "phone" });
  const got = heard(again);
  await online(again);
  await until("the new one has come", () => got.length > 0);
  expect(got).toEqual(["l4"]);
});

test("a slow listener gets everything once and in order, though the gateway cannot wait", async () => {
  const all = names("s", 3000);
  const made = client(server, "slow");
  const got: string[] = [];
  made.on("read_receipt", async ({ msg_id }) => {
    got.push(msg_id);
    await new Promise((resolve) => setImmediate(resolve));
  });
  await online(made);
  await read(server, "slow", all);
  await until("all have come", () => got.length >= all.length);
  expect(got).toEqual(all);
});

test("two tabs of one device and storage get everything each, and harm each other in nothing", async () => {
  const storage = memoryStorage();
  const tabs = [client(server, "tabs", { storage }), client(server, "tabs", { storage })];
  const got = tabs.map(heard);
  expect(tabs[0]?.deviceId).toBe(tabs[1]?.deviceId);
  await Promise.all(tabs.map(online));
  const all = names("t", 50);
  await read(server, "tabs", all.slice(0, 25));
  await until("both have half", () => got.every((one) => one.length === 25));
  await tabs[0]?.close();
  await read(server, "tabs", all.slice(25));
  await until("the other has the rest", () => got[1]?.length === 50);
  await online(tabs[0]!);
  await until("both have all", () => got.every((one) => one.length === 50));
  expect(got).toEqual([all, all]);
  expect(client(server, "tabs", { storage }).position?.seq).toBe(50);
});

test("a new epoch is a reset for who is connected, and for who comes back", async () => {
  const storage = memoryStorage();
  const stays = client(server, "epoch", { pace: fastPace(10) });
  const comesBack = client(server, "epoch", { storage });
  const [got, before] = [heard(stays), heard(comesBack)];
  await read(server, "epoch", ["e1"]);
  await Promise.all([online(stays), online(comesBack)]);
  await until("both have it", () => got.length === 1 && before.length === 1);
  await comesBack.close();
  const old = stays.position?.epoch;
  // As after a restored backup: who runs on learns of it within half a minute as well.
  await server.kill();
  await server.run("epoch", "new");
  await server.start();
  await until("the reset is told", () => got.length === 2);
  const back = client(server, "epoch", { storage });
  const after = heard(back);
  await online(back);
  await until("the reset is told", () => after.length === 1);
  await read(server, "epoch", ["e2"]);
  await until("both go on", () => got.length === 3 && after.length === 2);
  expect([got, after]).toEqual([
    ["e1", "reset", "e2"],
    ["reset", "e2"],
  ]);
  await until("both stand there", () => back.position?.seq === stays.position?.seq);
  expect(back.position?.epoch).not.toBe(old);
  expect(back.position).toEqual(stays.position);
});
