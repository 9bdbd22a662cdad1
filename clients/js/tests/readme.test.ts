// The README's code: all of it has the right types, and what needs no page runs as it stands.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test, vi } from "vitest";

import { Server } from "./real/seenby.js";
import { until } from "./real/until.js";

const here = fileURLToPath(new URL("..", import.meta.url));
const README = readFileSync(join(here, "README.md"), "utf8");
const blocks = [...README.matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => code as string);

/** What needs a page, or somebody's own backend. */
const NOT_RUN = ["document.createElement", "document.querySelectorAll", "/my/session/token"];

let folder: string;
let server: Server;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "seenby-readme-"));
  server = await Server.start();
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await server.remove();
});

test("the types of all blocks together hold", () => {
  expect(blocks.length).toBeGreaterThan(6);
  writeFileSync(join(folder, "readme.ts"), blocks.join("\n"));
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  const options = {
    extends: join(here, "tsconfig.json"),
    compilerOptions: {
      module: "ESNext",
      moduleResolution: "Bundler",
      typeRoots: [join(here, "node_modules/@types")],
      paths: {
        seenby: [join(here, "src/index.ts")],
        "seenby/element": [join(here, "src/element/index.ts")],
        ws: [join(here, "node_modules/@types/ws/index.d.mts")],
      },
      noImplicitAny: false,
      noUnusedLocals: false,
    },
    include: ["readme.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(options));
  const tsc = join(here, "node_modules/typescript/bin/tsc");
  try {
    execFileSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
  } catch (error) {
    expect.fail((error as { stdout: string }).stdout);
  }
});

test("what needs no page runs, and says what the page says", async () => {
  const run = blocks.filter((code) => !NOT_RUN.some((word) => code.includes(word)));
  expect(run).toHaveLength(blocks.length - NOT_RUN.length);
  const program = join(folder, "readme.mjs");
  await build({
    stdin: {
      contents: `${run.join("\n")}\nexport const all = [alice, bob, dave, guest, bot];`.replaceAll(
        "http://localhost:8080",
        server.api,
      ),
      resolveDir: here,
    },
    alias: { seenby: join(here, "src/index.ts") },
    bundle: true,
    format: "esm",
    platform: "node",
    outfile: program,
    logLevel: "error",
    plugins: [
      {
        name: "ws of this package",
        setup: ({ onResolve }) =>
          onResolve({ filter: /^ws$/ }, () => ({
            path: pathToFileURL(join(here, "node_modules/ws/wrapper.mjs")).href,
            external: true,
          })),
      },
    ],
  });
  const said: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((text: string) => void said.push(text));
  const { all } = (await import(/* @vite-ignore */ pathToFileURL(program).href)) as {
    all: { status: string; pending: unknown[]; close(): Promise<void> }[];
  };
  try {
    await until("bob's second mark is answered", () => all[1]?.pending.length === 0);
    await until("alice was told of both", () => said.includes("bob has read m2"));
    await until("the bot is online", () => all.at(-1)?.status === "online");
  } finally {
    await Promise.all(all.map((client) => client.close()));
    log.mockRestore();
  }
  const [, output] = README.match(/^```text\n(.*?)\n```/ms) ?? [];
  expect(said).toContain(output);
  expect(said).toContain("1 on the way");
  expect(said).toHaveLength(3);
});
