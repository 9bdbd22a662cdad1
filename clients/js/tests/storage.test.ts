// What is asked of a storage happens in the order in which it was asked.

import { expect, test } from "vitest";

import { memoryStorage } from "../src/index.js";
import { Shelf } from "../src/storage.js";
import { settled } from "./fake/pace.js";

test("of a slow storage the next thing is asked when the last is done", async () => {
  const kept = memoryStorage();
  let done = () => {};
  const shelf = new Shelf(
    {
      ...kept,
      setItem: (key, value) =>
        new Promise<void>((resolve) => {
          done = () => resolve(void kept.setItem(key, value));
        }),
    },
    () => expect.fail("nothing has failed"),
  );
  void shelf.set("mark", "m1");
  void shelf.remove("mark");
  await settled();
  done();
  await settled();
  expect([...((await shelf.keys("")) ?? [])]).toEqual([]);
});

test("of a quick storage everything is done before the call returns", () => {
  const kept = memoryStorage();
  const shelf = new Shelf(kept, () => expect.fail("nothing has failed"));
  void shelf.set("a 1", "x");
  expect([shelf.get("a 1"), shelf.keys("a "), shelf.keys("b ")]).toEqual(["x", ["a 1"], []]);
});

test("a failure is told once, and again after a success", async () => {
  let failing = true;
  const told: unknown[] = [];
  const shelf = new Shelf(
    {
      ...memoryStorage(),
      getItem: () => {
        if (failing) throw new Error("away");
        return "x";
      },
    },
    (error) => told.push(error),
  );
  expect([shelf.get("a"), shelf.get("a"), told.length]).toEqual([null, null, 1]);
  failing = false;
  expect(await shelf.get("a")).toBe("x");
  failing = true;
  expect([shelf.get("a"), told.length]).toEqual([null, 2]);
});
