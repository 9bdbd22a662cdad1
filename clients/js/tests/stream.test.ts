// The stream against a real seenby.

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { memoryStorage, Seenby, type Options, type ReadReceipt } from "../src/index.js";
import { Server } from "./real/seenby.js";
import { until } from "./real/until.js";

let server: Server;
const clients: Seenby[] = [];

beforeAll(async () => {
  server = await Server.start();
});
afterEach(() => Promise.all(clients.splice(0).map((client) => client.close())));
afterAll(() => server.remove());

function client(userId: string, more: Partial<Options> = {}): Seenby {
  const made = new Seenby({ userId, api: server.api, storage: memoryStorage(), ...more });
  clients.push(made);
  return made;
}

test("a sender is told that a message was read", async () => {
  const alice = client("alice");
  const told: ReadReceipt[] = [];
  alice.on("read_receipt", (receipt) => told.push(receipt));
  alice.connect();
  await until("alice is online", () => alice.status === "online");
  const bob = client("bob");
  const receipt = await bob.mark({ msg_id: "m1", sender_id: "alice", conversation_id: "c1" });
  expect(receipt).toMatchObject({ msg_id: "m1", reader_id: "bob", device_id: bob.deviceId });
  await until("alice is told", () => told.length === 1);
  expect(told[0]).toMatchObject({ type: "read_receipt", msg_id: "m1", reader_id: "bob", seq: 1 });
  await until("it is handled", () => alice.position?.seq === 1);
});

test("a mark over the socket is answered as one over HTTP", async () => {
  const bob = client("bob", { via: "socket" });
  bob.connect();
  const receipt = await bob.mark({ msg_id: "m2", sender_id: "alice", conversation_id: "c1" });
  expect(receipt).toMatchObject({ msg_id: "m2", reader_id: "bob" });
  expect(bob.pending).toEqual([]);
});
