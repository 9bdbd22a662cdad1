// Copies what the page at /docs needs out of its packages, with their licences, into the folder
// from which it is served. Run after a new version: npm ci && npm run copy. A test compares.

import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const from = join(here, "node_modules/swagger-ui-dist");
const to = join(here, "../src/seenby/page/vendor/swagger-ui");

mkdirSync(to, { recursive: true });
for (const [name, as = name] of [
  ["swagger-ui-bundle.js"],
  ["swagger-ui-bundle.js.LICENSE.txt"],
  ["swagger-ui.css"],
  ["LICENSE", "LICENSE.txt"],
  ["NOTICE", "NOTICE.txt"],
]) {
  copyFileSync(join(from, name), join(to, as));
}
