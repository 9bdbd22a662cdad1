// @vitest-environment jsdom
// In jsdom, where applications test themselves: it has no popovers and no states, and all the same
// the element shows what it knows.

import { expect, test } from "vitest";

import "../../src/element/index.js";
import { FakeClient } from "./fake.js";

/** Lets the element load and draw. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

test("attributes are shown, and a client's counts as they come", async () => {
  const element = document.createElement("seen-by");
  element.msgId = "m1";
  element.of = 10;
  document.body.append(element);
  await settle();
  expect(element.shadowRoot?.textContent).toBe("Sent");
  const client = new FakeClient();
  client.message("m1", 10);
  element.client = client;
  await settle();
  for (const reader of ["ann", "bob", "cas", "dan", "eve"]) client.mark("m1", reader);
  client.deliver();
  await settle();
  expect(element.shadowRoot?.querySelector("button")?.textContent).toBe("5 of 10");
});
