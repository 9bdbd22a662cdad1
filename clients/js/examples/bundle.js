// Bundles the examples as the tests serve them: node bundle.js FOLDER
//
// The package itself is taken from its sources, so that nothing needs to be built before.

import { cpSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { compileScript, parse } from "vue/compiler-sfc";

const here = fileURLToPath(new URL(".", import.meta.url));
const [target] = process.argv.slice(2);
if (target === undefined) throw new Error("say where to: node bundle.js FOLDER");

/** What @vitejs/plugin-vue does with a single-file component, as far as the example needs it. */
/** @type {import("esbuild").Plugin} */
const vue = {
  name: "vue",
  setup({ onLoad }) {
    onLoad({ filter: /\.vue$/ }, async ({ path }) => {
      const { descriptor, errors } = parse(await readFile(path, "utf8"), { filename: path });
      if (errors.length > 0) throw errors[0];
      const { content } = compileScript(descriptor, {
        id: "example",
        inlineTemplate: true,
        templateOptions: { compilerOptions: { isCustomElement: (tag) => tag === "seen-by" } },
      });
      return { contents: content, loader: "ts" };
    });
  },
};

for (const [name, entry] of [
  ["react", "main.tsx"],
  ["vue", "main.ts"],
]) {
  await build({
    entryPoints: [join(here, name, entry)],
    outfile: join(target, name, "main.js"),
    bundle: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    // The package says which of its built files matter when they are only imported; not its sources.
    ignoreAnnotations: true,
    logLevel: "warning",
    plugins: [vue],
    alias: {
      seenby: join(here, "../src/index.ts"),
      "seenby/element": join(here, "../src/element/index.ts"),
    },
    define: {
      "process.env.NODE_ENV": '"production"',
      __VUE_OPTIONS_API__: "false",
      __VUE_PROD_DEVTOOLS__: "false",
      __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
    },
  });
  cpSync(join(here, name, "index.html"), join(target, name, "index.html"));
}
