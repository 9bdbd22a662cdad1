// Signing in, against a real seenby that wants tokens.

import { createHmac } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";

import { SeenbyError } from "../src/index.js";
import { realPace } from "../src/pace.js";
import { client, heard, message, online } from "./real/clients.js";
import { Server } from "./real/seenby.js";
import { until } from "./real/until.js";

const SECRET = "a secret of at least thirty-two bytes";

let server: Server;

beforeAll(async () => {
  server = await Server.start({
    SEENBY_AUTH: "jwt",
    SEENBY_JWT_SECRET: SECRET,
    SEENBY_JWT_LEEWAY: "0",
  });
});
afterAll(() => server.remove());

const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token (RFC 7519) that holds for so many seconds. */
function tokenOf(sub: string, seconds = 600, secret = SECRET): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub, iat: now, exp: now + seconds };
  const text = `${base64({ alg: "HS256", typ: "JWT" })}.${base64(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

test("a token serves the socket, the API and the marks", async () => {
  const alice = await online(client(server, "alice", { token: tokenOf("alice") }));
  const got = heard(alice);
  const bob = await online(client(server, "bob", { token: () => tokenOf("bob") }));
  await bob.mark(message("m1", "alice"));
  await client(server, "bob", { token: tokenOf("bob") }).mark(message("m2", "alice"));
  await until("she is told", () => got.length === 2);
  expect((await alice.receipts(["m1", "m2"])).map(({ count }) => count)).toEqual([1, 1]);
});

test("a token that expires while connected is renewed, and nothing is missed", async () => {
  let asked = 0;
  // The API is not asked, and no wait but that for the next attempt is shorter: on a machine so busy
  // that a token expires before the welcome, the gateway says so all the same.
  const carol = client(server, "carol", {
    token: () => Promise.resolve(tokenOf("carol", ++asked < 3 ? 1 : 600)),
    gateway: server.gateway,
    pace: { ...realPace, random: () => 0.1 },
  });
  const got = heard(carol);
  const codes: (number | undefined)[] = [];
  carol.on("status", ({ code }) => void (code && codes.push(code)));
  carol.connect();
  const bob = client(server, "bob", { token: tokenOf("bob") });
  await until("it has expired", () => codes.length > 0);
  await bob.mark(message("m3", "carol"));
  await until("she is told", () => got.length === 1);
  await until("she has a good one", () => asked >= 3 && carol.status === "online");
  expect([...new Set(codes)]).toEqual([4001]);
});

test("a token that expires and cannot be renewed ends it, with an error", async () => {
  const dave = client(server, "dave", { token: tokenOf("dave", 1) });
  const errors: unknown[] = [];
  dave.on("error", (error) => errors.push(error));
  dave.connect();
  await until("it has ended", () => dave.status === "closed");
  expect(errors).toEqual([expect.any(SeenbyError)]);
  expect(errors[0]).toMatchObject({ code: "token_expired" });
});

test.each([
  [
    "signed with another secret",
    () => tokenOf("erin", 600, SECRET.toUpperCase()),
    "unauthenticated",
  ],
  ["of another user", () => tokenOf("mallory"), "forbidden"],
])("a token %s ends it for good, whoever is asked first", async (_, token, code) => {
  for (const gateway of [undefined, server.gateway]) {
    const erin = client(server, "erin", { token, gateway });
    const errors: unknown[] = [];
    erin.on("error", (error) => errors.push(error));
    erin.connect();
    await until("it has ended", () => erin.status === "closed");
    expect(errors).toEqual([expect.any(SeenbyError)]);
    expect(errors[0]).toMatchObject({ code });
  }
});

test("without a token one is told to sign in", async () => {
  const erin = client(server, "erin", { gateway: server.gateway });
  const errors: unknown[] = [];
  erin.on("error", (error) => errors.push(error));
  await expect(erin.unreadCounts()).rejects.toMatchObject({ code: "unauthenticated", status: 401 });
  expect(errors).toEqual([]);
});

test("calls that meet an expired token ask for another once, all together", async () => {
  let asked = 0;
  const frank = client(server, "frank", {
    token: () => tokenOf("frank", ++asked === 1 ? -5 : 600),
  });
  await Promise.all([frank.unreadCounts(), frank.unread(), frank.receipts(["m1"])]);
  expect(asked).toBe(2);
});

test("a mark made with a token that has expired is kept, and sent with the next one", async () => {
  let good = false;
  const gina = client(server, "gina", { token: () => tokenOf("gina", good ? 600 : -5) });
  const errors: unknown[] = [];
  gina.on("error", (error) => errors.push(error));
  const promise = gina.mark(message("m4", "alice"));
  await until("it is told", () => errors.length === 1);
  expect(gina.pending).toHaveLength(1);
  good = true;
  gina.connect();
  expect(await promise).toMatchObject({ msg_id: "m4" });
});
