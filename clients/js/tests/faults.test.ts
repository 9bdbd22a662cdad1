// What breaks: the server, the network, the page. Whatever is cut when, every event is handled once
// and in order, and every mark is recorded.

import { afterAll, beforeAll, describe, expect, test as plain } from "vitest";

import { memoryStorage, type Seenby } from "../src/index.js";
import { get, heard, message, names, online, read } from "./real/clients.js";
import { Network } from "./real/network.js";
import { Server } from "./real/seenby.js";
import { until } from "./real/until.js";

let server: Server;

beforeAll(async () => {
  server = await Server.start();
});
afterAll(() => server.remove());

const test = plain.extend<{ network: Network }>({
  network: async ({}, use) => {
    const network = await Network.to(server);
    await use(network);
    await network.end();
  },
});

async function countOf(msg_ids: string[]): Promise<number> {
  let count = 0;
  for (let at = 0; at < msg_ids.length; at += 100) {
    const query = msg_ids.slice(at, at + 100).map((msg_id) => `msg_id=${msg_id}`);
    const { messages } = await get<{ messages: { count: number }[] }>(
      server,
      `/api/v1/messages/receipts?${query.join("&")}`,
    );
    count += messages.reduce((sum, one) => sum + one.count, 0);
  }
  return count;
}

describe.concurrent("each with a network of its own", () => {
  test("a socket that is cut again and again: every event once, in order", async ({ network }) => {
    const alice = await online(network.client("cut"));
    const got = heard(alice);
    const all = names("c", 60);
    for (const [index, msg_id] of all.entries()) {
      await read(server, "cut", [msg_id]);
      if (index % 10 === 5) network.toGateway.cut();
    }
    await until("all have come", () => got.length >= all.length);
    expect(got).toEqual(all);
    expect(network.toGateway.opened).toBeGreaterThan(1);
  });

  test("a network that swallows everything is noticed, and what was missed comes", async ({
    network,
  }) => {
    const alice = await online(network.client("swallowed"));
    const got = heard(alice);
    await read(server, "swallowed", ["w1"]);
    await until("the first has come", () => got.length === 1);
    network.toGateway.swallow();
    await read(server, "swallowed", ["w2", "w3"]);
    await until("it is noticed", () => alice.status !== "online");
    expect(got).toEqual(["w1"]);
    network.heal();
    await until("the rest has come", () => got.length === 3);
    expect(got).toEqual(["w1", "w2", "w3"]);
  });

  test("marks made offline outlive the page and are sent in one go when there is a network", async ({
    network,
  }) => {
    const storage = memoryStorage();
    network.leave();
    const before = network.client("bob", { storage });
    before.connect();
    const all = names("o", 1200);
    for (const msg_id of all) void before.mark(message(msg_id, "offline"));
    await until("the network is known to be away", () => before.status === "waiting");
    await before.close();
    network.heal();
    const after = network.client("bob", { storage });
    expect(after.pending).toHaveLength(all.length);
    after.connect();
    await until("all are answered", () => after.pending.length === 0);
    expect(await countOf(all)).toBe(all.length);
    expect([...(await storage.keys())].filter((key) => key.includes(" mark "))).toEqual([]);
  });

  test.for(["socket", "http"] as const)(
    "marks via %s through a network that is cut all the time are each recorded",
    async (via, { network }) => {
      const bob = await online(network.client("bob", { via }));
      const all = names(`${via}-`, 300);
      const answers: Promise<unknown>[] = [];
      for (const [index, msg_id] of all.entries()) {
        answers.push(bob.mark(message(msg_id, `over-${via}`)));
        if (index % 60 === 30) {
          const { toGateway, toApi } = network;
          await until("something is under way", () => toGateway.open + toApi.open > 0);
          network.cut();
        }
      }
      await Promise.all(answers);
      expect(await countOf(all)).toBe(all.length);
    },
  );

  test("two tabs that lose their network share their marks without losing or refusing one", async ({
    network,
  }) => {
    const storage = memoryStorage();
    const tabs = [network.client("bob", { storage }), network.client("bob", { storage })];
    const refused: unknown[] = [];
    for (const tab of tabs) tab.on("refused", (event) => refused.push(event));
    await Promise.all(tabs.map(online));
    network.toGateway.cut();
    network.toApi.swallow();
    const all = names("two-", 200);
    const answers = all.map((msg_id, index) => tabs[index % 2]!.mark(message(msg_id, "two-tabs")));
    network.toGateway.cut();
    network.heal();
    await Promise.all(answers);
    expect([await countOf(all), refused]).toEqual([all.length, []]);
    // A tab may have sent the other's as well, and then waits for that answer too.
    await until("no mark waits", () => tabs.every((tab) => !tab.pending.length));
  });

  test.for([1, 2, 3, 4])(
    "whatever is cut when, every event is handled once and in order (seed %i)",
    async (seed, { network }) => {
      const chance = chanceOf(seed);
      const storage = memoryStorage();
      const user = `chance${seed}`;
      const got: string[] = [];
      const errors: Error[] = [];
      const open = (): Seenby => {
        const page = network.client(user, { storage });
        page.on("error", (error) => errors.push(error));
        page.on("reset", () => void got.push("reset"));
        page.on("read_receipt", async ({ msg_id }) => {
          if (closed.has(page)) return;
          if (chance(3) === 0) await new Promise((resolve) => setImmediate(resolve));
          got.push(msg_id);
        });
        page.connect();
        return page;
      };
      const closed = new Set<Seenby>();
      let page = open();
      const all = names(`chance${seed}-`, 150);
      for (let at = 0; at < all.length;) {
        const some = all.slice(at, at + 1 + chance(12));
        at += some.length;
        const reading = read(server, user, some);
        switch (chance(7)) {
          case 0:
            network.toGateway.cut();
            break;
          case 1:
            network.toGateway.swallow();
            await until("it is noticed", () => page.status !== "online");
            network.heal();
            break;
          case 2:
            // The page is left cleanly; what a listener has in hand is finished.
            await page.close();
            page.connect();
            break;
          case 3: {
            // A reload, once no listener has an event in hand: that would be handled by both pages.
            const standing = got.length;
            await page.close();
            await until("the listeners are done", () => got.length >= standing && idle(page, got));
            closed.add(page);
            page = open();
            break;
          }
          case 4:
            await until("something new has come", () => got.length > at / 2);
            break;
          default:
            await reading;
        }
        await reading;
      }
      await until("all have come", () => got.length >= all.length);
      expect(got).toEqual(all);
      expect(errors).toEqual([]);
    },
  );
});

test("seenby is killed while marks are sent and receipts come: nothing is lost", async ({
  network,
}) => {
  const alice = await online(network.client("killed"));
  const got = heard(alice);
  const bob = await online(network.client("bob"));
  const all = names("k", 1000);
  const answers: Promise<unknown>[] = [];
  let round = 0;
  for (let at = 0; at < all.length; at += 500) {
    for (const msg_id of all.slice(at, at + 500)) answers.push(bob.mark(message(msg_id, "killed")));
    // In the middle of the answers, not before and not after them.
    const before = bob.pending.length;
    await until("some are answered", () => bob.pending.length < before);
    round += 1;
    await server.kill();
    await server.start();
  }
  await Promise.all(answers);
  expect([round, bob.pending, await countOf(all)]).toEqual([2, [], all.length]);
  await until("the sender has all", () => got.length >= all.length);
  expect([...got].sort()).toEqual([...all].sort());
  expect(alice.position?.seq).toBe(all.length);
});

/** A small generator of chance, so that a failure can be run again (mulberry32). */
function chanceOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Whether what was handed to the application last is what it has handled last. */
function idle(page: Seenby, got: string[]): boolean {
  return (page.position?.seq ?? 0) === got.length;
}
