// The package as an application meets it: its types in each way of finding them, and imports where
// there is no page.

import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";

const here = fileURLToPath(new URL("..", import.meta.url));
const TSC = join(here, "node_modules/typescript/bin/tsc");

let folder: string;

function run(...command: string[]): string {
  try {
    return execFileSync(process.execPath, command, { cwd: folder, encoding: "utf8" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return expect.fail(stdout + stderr);
  }
}

/** As `npm install seenby` leaves it, but for what is not read here. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "seenby-package-"));
  const seenby = join(folder, "node_modules/seenby");
  mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
  mkdirSync(seenby);
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  cpSync(join(here, "package.json"), join(seenby, "package.json"));
  for (const name of ["@types/node", "undici-types", "@types/ws", "ws", "react", "react-dom"]) {
    symlinkSync(join(here, "node_modules", name), join(folder, "node_modules", name));
  }
  run(TSC, "-p", join(here, "tsconfig.types.json"), "--outDir", join(seenby, "dist"));
  const shared = { bundle: true, format: "esm", absWorkingDir: here } as const;
  for (const [source, target] of [
    ["src/index.ts", "dist/index.js"],
    ["src/element/index.ts", "dist/element.js"],
  ] as const) {
    await build({ ...shared, entryPoints: [source], outfile: join(seenby, target) });
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PAGE = `
import { readOnVisible, Seenby, SeenbyError, type KeyValue, type Options } from "seenby";
import "seenby/element";
import { SeenByElement, type Texts } from "seenby/element";

const storage: KeyValue = {
  getItem: async () => null,
  setItem: async () => undefined,
  removeItem: async () => undefined,
  keys: async () => [],
  lock: (name, work) => navigator.locks.request(name, work),
};
const options: Options = { userId: "alice", storage, token: async () => "t" };
const seenby = new Seenby(options);
await seenby.ready;
const end: () => void = seenby.on("read_receipt", ({ reader_id }) => reader_id.length);
const element: SeenByElement = document.createElement("seen-by");
element.client = seenby;
element.texts = { sent: "Gesendet" } satisfies Partial<Texts>;
element.addEventListener("seen-by-open", ({ detail }) => detail.msg_id.length);
readOnVisible(seenby, { mark: ({ id }) => ({ msg_id: id }) }).observe(element);
seenby.mark({ msg_id: "m1" }).catch((error) => error instanceof SeenbyError && error.code);
end();
// @ts-expect-error there is no such event
seenby.on("nothing", () => undefined);
// @ts-expect-error a number is no message
seenby.mark({ msg_id: 1 });
`;

const SERVER = `
import { Seenby } from "seenby";
import { WebSocket } from "ws";
new Seenby({ userId: "bot", api: "http://chat.test", WebSocket });
new Seenby({ userId: "bot", api: "http://chat.test", WebSocket: globalThis.WebSocket });
`;

const WORKER = `
import { Seenby } from "seenby";
declare const self: ServiceWorkerGlobalScope;
const seenby = new Seenby({ userId: "alice", via: "http" });
self.addEventListener("push", (event) => event.waitUntil(seenby.mark({ msg_id: "m1" })));
`;

// Node and a worker have no types of a page, and nobody may have to skip the check of libraries.
test.each([
  { place: "a page", code: PAGE, way: "NodeNext", lib: ["es2022", "dom", "dom.iterable"] },
  { place: "a page", code: PAGE, way: "Bundler", lib: ["es2022", "dom", "dom.iterable"] },
  { place: "Node", code: SERVER, way: "Node16", lib: ["es2022"], types: ["node"] },
  { place: "a service worker", code: WORKER, way: "Bundler", lib: ["es2022", "webworker"] },
])("the types hold in $place, found as $way does", ({ place, code, way, lib, types = [] }) => {
  const name = `${place.replaceAll(" ", "-")}-${way}`;
  writeFileSync(join(folder, `${name}.ts`), code);
  const compilerOptions = {
    target: "ES2022",
    module: way === "Bundler" ? "ESNext" : way,
    moduleResolution: way,
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    lib,
    types,
  };
  const config = join(folder, `${name}.json`);
  writeFileSync(config, JSON.stringify({ compilerOptions, files: [`${name}.ts`] }));
  run(TSC, "-p", config);
});

test("where there is no page both can be imported, and a server draws the element", () => {
  const program = join(folder, "server.js");
  writeFileSync(
    program,
    `import { Seenby } from "seenby";
     import "seenby/element";
     import { createElement } from "react";
     import { renderToString } from "react-dom/server";
     const client = new Seenby({ userId: "alice", api: "http://chat.test" });
     const element = createElement("seen-by", { "msg-id": "m1", read: 5, client }, "5");
     console.log(renderToString(element));`,
  );
  expect(run(program)).toBe('<seen-by msg-id="m1" read="5">5</seen-by>\n');
});

test("an older way of finding types is shown where those of the element are", () => {
  const { typesVersions, exports } = JSON.parse(
    readFileSync(join(here, "package.json"), "utf8"),
  ) as { typesVersions: object; exports: Record<string, { types: string }> };
  expect(typesVersions).toEqual({ "*": { element: [exports["./element"]?.types] } });
});
