// Fails when what a browser loads has grown over its limit.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const pages = new URL("../../../src/seenby/page/", import.meta.url);
const CLIENT_LIMIT = 10 * 1024;

/** @param {string} name */
const size = (name) => gzipSync(readFileSync(new URL(name, pages)), { level: 9 }).length;

const client = size("seenby.js");
console.log(`client: ${client} bytes gzipped, of at most ${CLIENT_LIMIT}`);
console.log(`element: ${size("seenby-element.js")} bytes gzipped`);
if (client > CLIENT_LIMIT) {
  console.error("the client is too large");
  process.exitCode = 1;
}
