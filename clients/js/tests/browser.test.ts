// @vitest-environment jsdom
// @vitest-environment-options { "url": "http://chat.test/room" }
// What is different in a page: its origin, its localStorage, its network.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Seenby, type Options } from "../src/index.js";
import { fakeGateway } from "./fake/gateway.js";
import { FakePace, settled } from "./fake/pace.js";

let gateway: ReturnType<typeof fakeGateway>;
let pace: FakePace;
let alice: Seenby;

beforeEach(() => {
  localStorage.clear();
  gateway = fakeGateway();
  pace = new FakePace();
});
afterEach(() => {
  void alice.close();
  vi.restoreAllMocks();
});

function client(more: Partial<Options> = {}): Seenby {
  return (alice = new Seenby({
    userId: "alice",
    gateway: "ws://gateway.test/ws",
    fetch: () => Promise.reject(new TypeError("no network")),
    WebSocket: gateway.WebSocket,
    pace,
    ...more,
  }));
}

async function online(more: Partial<Options> = {}): Promise<void> {
  client(more).connect();
  await settled();
  gateway.last().welcome();
  await settled();
}

test("the API is at the page's origin, and what is kept is in localStorage", async () => {
  const asked: string[] = [];
  client({
    gateway: undefined,
    fetch: (url) => {
      asked.push(String(url));
      return Promise.reject(new TypeError("no network"));
    },
  }).connect();
  await settled();
  expect(asked).toEqual(["http://chat.test/api/v1/gateway?user_id=alice"]);
  expect(localStorage.getItem("seenby alice device")).toBe(alice.deviceId);
});

test("a page that may not use localStorage works without", async () => {
  vi.spyOn(globalThis, "localStorage", "get").mockImplementation(() => {
    throw new DOMException("denied", "SecurityError");
  });
  await online();
  expect([alice.status, alice.deviceId.length]).toEqual(["online", 32]);
});

test("offline: the connection is left at once; online: the pause is over at once", async () => {
  await online();
  window.dispatchEvent(new Event("offline"));
  await settled();
  expect(alice.status).toBe("waiting");
  window.dispatchEvent(new Event("online"));
  await settled();
  expect([alice.status, gateway.sockets.length]).toEqual(["connecting", 2]);
});

test("a page that is shown again asks whether the gateway is still there", async () => {
  await online();
  document.dispatchEvent(new Event("visibilitychange"));
  expect(gateway.last().saidOf("ping")).toHaveLength(1);
});

test("one who looks at the page again and again does not put off that nobody answers", async () => {
  await online();
  for (let look = 0; look < 4; look++) {
    document.dispatchEvent(new Event("visibilitychange"));
    await pace.pass(3000);
  }
  expect(alice.status).not.toBe("online");
});

test("after close() the page is left alone", async () => {
  const heard = [window, document].map((place) => [
    vi.spyOn(place, "addEventListener"),
    vi.spyOn(place, "removeEventListener"),
  ]);
  await online();
  void alice.close();
  window.dispatchEvent(new Event("online"));
  document.dispatchEvent(new Event("visibilitychange"));
  await settled();
  expect([alice.status, gateway.sockets.length]).toEqual(["closed", 1]);
  const types = heard.map((calls) => calls.map(({ mock }) => mock.calls.map(([type]) => type)));
  expect(types[0]?.[0]?.sort()).toEqual(["offline", "online", "storage"]);
  for (const [added, removed] of types) expect(removed?.sort()).toEqual(added?.sort());
});

test("a mark of another tab's that stays in localStorage is sent by this one", async () => {
  await online();
  const key = `seenby alice ${alice.deviceId} mark m1`;
  const newValue = '{"msg_id":"m1"}';
  localStorage.setItem(key, newValue);
  const event = { key, newValue, storageArea: localStorage };
  window.dispatchEvent(new StorageEvent("storage", event));
  await pace.pass(10_000);
  expect(gateway.last().saidOf("read")).toMatchObject([{ msg_id: "m1" }]);
});
