// Builds the package (dist/) and the two bundles that seenby's own pages use. The same lock file
// gives the same bytes.
//
//   node scripts/build.js [--pages FOLDER]    only the two bundles, into FOLDER

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = fileURLToPath(new URL("..", import.meta.url));
const only = process.argv.indexOf("--pages");
const pages =
  only > 0 ? String(process.argv[only + 1]) : join(here, "..", "..", "src", "seenby", "page");

const shared = /** @type {const} */ ({
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});

/** @param {string} source @param {string} target @param {string} from */
const page = (source, target, from) =>
  build({
    ...shared,
    entryPoints: [source],
    outfile: join(pages, target),
    minify: true,
    banner: { js: `// Built from ${from} by npm run build: change it there.` },
  });

const element = existsSync(join(here, "src/element/index.ts"));

mkdirSync(pages, { recursive: true });
await page("src/index.ts", "seenby.js", "clients/js/src");
if (element) await page("src/element/index.ts", "seenby-element.js", "clients/js/src/element");

if (only < 0) {
  rmSync(join(here, "dist"), { recursive: true, force: true });
  await build({ ...shared, entryPoints: ["src/index.ts"], outfile: "dist/index.js" });
  if (element)
    await build({ ...shared, entryPoints: ["src/element/index.ts"], outfile: "dist/element.js" });
  const tsc = join(here, "node_modules", "typescript", "bin", "tsc");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.types.json"], {
    cwd: here,
    stdio: "inherit",
  });
}
