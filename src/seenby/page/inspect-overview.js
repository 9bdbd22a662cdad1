// @ts-check
// All processes at a glance: what they do now, and how they are.

import { Chart } from "./inspect-chart.js";
import { age, badge, byId, counted, id, make, row, span, wideTable } from "./inspect-parts.js";

/** @import { NodeSight, Overview } from "./inspect-api.js" */

/** Clocks that differ by more make the times of a receipt's way hard to compare. */
const CLOCKS_DIFFER_MS = 1000;

/** A process that is well writes its row every ten seconds at the least. */
const SILENT_MS = 15_000;

const LAG_MANY = 1000;

/** @param {number | null} value */
const rate = (value) => `${(value ?? 0).toLocaleString("en", { maximumFractionDigits: 1 })} / s`;

/** @param {number | null} value */
const latency = (value) => (value === null ? "–" : `≤ ${span(value)}`);

export class OverviewPart {
  constructor() {
    this.marks = new Chart("Marks", rate);
    this.deliveries = new Chart("Events pushed", rate);
    const lines = { lines: 2, steep: true };
    this.push = new Chart("Mark to push, half · 99 %", latency, lines);
    this.ack = new Chart("Mark to ack, half · 99 %", latency, lines);
    this.outbox = new Chart("Waiting to be published", (value) =>
      counted(value ?? 0, "batch", "batches"),
    );
    this.age = make("p", { class: "muted small" });
    this.outbox.value.after(this.age);
    const charts = [this.marks, this.deliveries, this.push, this.ack, this.outbox];
    byId("charts").append(...charts.map((chart) => chart.element));
  }

  /** @param {Overview} overview */
  show(overview) {
    const { rates, outbox, nodes, at } = overview;
    this.marks.add(rates.marks_per_second);
    this.deliveries.add(rates.deliveries_per_second);
    this.push.add(rates.mark_to_push.p50_ms, rates.mark_to_push.p99_ms);
    this.ack.add(rates.mark_to_ack.p50_ms, rates.mark_to_ack.p99_ms);
    this.outbox.add(outbox.rows);
    this.age.textContent = outbox.rows
      ? `the oldest for ${span(outbox.oldest_seconds * 1000)}`
      : "nothing waits";
    const shown = wideTable(
      counted(nodes.filter((node) => !node.lost).length, "process runs", "processes run"),
      ["Name", "State", "Connected", "Reads", "Behind", "Does", "Runs for", "Version"],
      nodes.map((node) => this._row(node, at)),
    );
    const scrolled = byId("nodes").querySelector(".wide");
    if (scrolled) scrolled.replaceChildren(...shown.childNodes);
    else byId("nodes").append(shown);
    byId("overview-note").textContent =
      `${overview.bus ? "" : "There is no bus: gateways read the database every second. "}` +
      "Each process counts over its last two seconds. ≤: the upper bound of a histogram’s bucket. " +
      `Epoch ${overview.epoch}.`;
    byId("overview").hidden = false;
  }

  /** @param {NodeSight} node @param {string} now */
  _row(node, now) {
    const silent = Date.parse(now) - Date.parse(node.seen_at) > SILENT_MS;
    const apart = Math.abs(node.clock_ahead_ms) > CLOCKS_DIFFER_MS;
    const clock = `clock ${span(Math.abs(node.clock_ahead_ms))} ${node.clock_ahead_ms > 0 ? "ahead" : "behind"}`;
    const state = make(
      "span",
      {},
      node.lost ? badge("lost", "bad") : silent ? badge("silent", "warn") : badge("well", "good"),
      ...(node.lost || silent ? [" seen ", age(node.seen_at, now), " ago"] : []),
      ...(node.bus === false ? [" ", badge("bus away", "warn")] : []),
      ...(apart && !node.lost ? [" ", badge(clock, "warn")] : []),
    );
    const { partitions, lag } = node;
    const many = lag !== null && lag > LAG_MANY;
    return row(
      make("span", {}, id(node.node), " ", make("span", { class: "muted" }, node.role)),
      state,
      node.users === null
        ? "–"
        : `${counted(node.connections, "socket", "sockets")}, ${counted(node.users, "user", "users")}`,
      partitions === null
        ? "–"
        : partitions.length
          ? `${partitions.length === 1 ? "partition" : "partitions"} ${ranges(partitions)}`
          : "none now",
      lag === null ? "–" : many ? badge(counted(lag, "record", "records"), "warn") : String(lag),
      `${rate(node.marks_per_second)} marks, ${rate(node.deliveries_per_second)} pushed`,
      span(Date.parse(node.seen_at) - Date.parse(node.started_at)),
      node.version,
    );
  }
}

/** @param {number[]} numbers in order @returns {string} such as 1–3, 7 */
export function ranges(numbers) {
  /** @type {[number, number][]} */
  const found = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
}
