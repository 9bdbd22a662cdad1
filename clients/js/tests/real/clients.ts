// Clients of a real seenby that are closed with their test, and what they are told.

import { afterEach } from "vitest";

import { memoryStorage, Seenby, type Mark, type Options } from "../../src/index.js";
import type { Server } from "./seenby.js";
import { until } from "./until.js";

const clients: Seenby[] = [];

/** A client with a storage of its own. */
export function client(server: Server, userId: string, more: Partial<Options> = {}): Seenby {
  const made = new Seenby({ userId, api: server.api, storage: memoryStorage(), ...more });
  clients.push(made);
  return made;
}

/** Connects it and waits for the welcome. */
export async function online(made: Seenby): Promise<Seenby> {
  made.connect();
  await until(`${made.userId} is online`, () => made.status === "online");
  return made;
}

export async function closeAll(): Promise<void> {
  await Promise.all(clients.splice(0).map((made) => made.close()));
}

afterEach(closeAll);

/** The messages that a client is told were read, and "reset" for each reset, as they come. */
export function heard(made: Seenby): string[] {
  const got: string[] = [];
  made.on("read_receipt", ({ msg_id }) => got.push(msg_id));
  made.on("reset", () => got.push("reset"));
  return got;
}

/** `prefix1` to `prefixN`. */
export function names(prefix: string, count: number, from = 1): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index + from}`);
}

/** A message of `sender_id`'s. */
export function message(msg_id: string, sender_id: string): Mark {
  return { msg_id, sender_id, conversation_id: "c1" };
}

/** Bob reads messages of a sender's, by plain HTTP and in order. */
export async function read(server: Server, sender_id: string, msg_ids: string[]): Promise<void> {
  for (let at = 0; at < msg_ids.length; at += 1000) {
    const receipts = msg_ids
      .slice(at, at + 1000)
      .map((msg_id) => ({ ...message(msg_id, sender_id), reader_id: "bob" }));
    const path = "/api/v1/messages/read/batch";
    const { results } = await post<{ results: { success: boolean }[] }>(server, path, { receipts });
    const refused = results.find(({ success }) => !success);
    if (refused) throw new Error(JSON.stringify(refused));
  }
}

export async function post<T>(server: Server, path: string, body: object, method = "POST") {
  const response = await fetch(server.api + path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

export async function get<T>(server: Server, path: string): Promise<T> {
  return (await (await fetch(server.api + path)).json()) as T;
}

/** Where seenby keeps that a device stands. */
export async function acknowledged(server: Server, made: Seenby): Promise<number | undefined> {
  const { devices } = await get<{ devices: { device_id: string; seq: number }[] }>(
    server,
    `/api/v1/users/${made.userId}/devices`,
  );
  return devices.find(({ device_id }) => device_id === made.deviceId)?.seq;
}
