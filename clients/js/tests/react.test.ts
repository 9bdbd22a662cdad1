// @vitest-environment jsdom
// React mounts everything twice while it is developed, so that what is not undone is seen; and it takes
// over what a server has drawn.

import { act, createElement, StrictMode, useEffect, useState } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { beforeEach, expect, test } from "vitest";

import "../src/element/index.js";
import { FakeClient } from "./element/fake.js";
import { memoryStorage, Seenby, type Events } from "../src/index.js";
import { fakeGateway, receipt } from "./fake/gateway.js";
import { FakePace, settled } from "./fake/pace.js";

beforeEach(() => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
});

test("what is mounted, left and mounted at once has one connection, and each event once", async () => {
  const gateway = fakeGateway();
  const pace = new FakePace();
  const made: Seenby[] = [];
  const statuses: Events["status"]["status"][] = [];
  const errors: Error[] = [];
  function Chat() {
    const [client] = useState(() => {
      const one = new Seenby({
        userId: "alice",
        api: "http://api.test",
        gateway: "ws://gateway.test/ws",
        deviceId: "laptop",
        storage: memoryStorage(),
        WebSocket: gateway.WebSocket,
        pace,
      });
      made.push(one);
      return one;
    });
    const [readers, setReaders] = useState<string[]>([]);
    useEffect(() => {
      const ends = [
        client.on("read_receipt", ({ msg_id }) => setReaders((before) => [...before, msg_id])),
        client.on("status", ({ status }) => statuses.push(status)),
        client.on("error", (error) => errors.push(error)),
      ];
      client.connect();
      return () => {
        void client.close();
        for (const end of ends) end();
      };
    }, [client]);
    return createElement("p", {}, readers.join(" "));
  }
  const place = document.createElement("main");
  const root = createRoot(place);
  await act(async () => {
    root.render(createElement(StrictMode, {}, createElement(Chat)));
    await settled();
  });
  // The second client is React's as well: it is thrown away, and must have left nothing running.
  expect([made.length, gateway.sockets.length, pace.waits.length]).toEqual([2, 1, 1]);
  await act(async () => {
    gateway.last().welcome();
    gateway.last().tell(receipt(1), receipt(2));
    await settled();
  });
  expect(place.textContent).toBe("m1 m2");
  await act(async () => {
    root.unmount();
    await settled();
  });
  gateway.last().end(1000);
  await settled();
  expect([gateway.sockets.length, pace.waits, errors]).toEqual([1, [], []]);
  expect(statuses).toEqual(["connecting", "closed", "connecting", "online", "closed"]);
});

test("an element that a server has drawn has its client by a ref, and is live", async () => {
  const client = new FakeClient();
  client.message("m1", 10);
  for (const reader of ["ann", "bob", "cas"]) client.mark("m1", reader);
  const ref = (element: HTMLElementTagNameMap["seen-by"] | null) => {
    if (element) Object.assign(element, { client, nameOf: (id: string) => id });
  };
  const chat = createElement(
    StrictMode,
    {},
    createElement("seen-by", { "msg-id": "m1", read: 2, of: 10, ref }, "2 of 10"),
  );
  const place = document.createElement("main");
  place.innerHTML = renderToString(chat);
  expect(place.innerHTML).toBe('<seen-by msg-id="m1" read="2" of="10">2 of 10</seen-by>');
  document.body.append(place);
  const complaints: unknown[] = [];
  await act(async () => {
    hydrateRoot(place, chat, { onRecoverableError: (error) => complaints.push(error) });
    await settled();
  });
  const shown = place.querySelector("seen-by")?.shadowRoot;
  expect([shown?.textContent, complaints]).toEqual(["3 of 10", []]);
});
