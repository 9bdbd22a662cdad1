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
const latency = (value) => (value === null ? "–" : span(value));

/** Where nothing was measured, nothing is claimed. @param {(number | null)[]} values */
const latencies = (values) =>
  values.every((value) => value === null) ? "–" : `≤ ${values.map(latency).join(" · ")}`;

export class OverviewPart {
  constructor() {
    this.marks = new Chart("Marks", rate);
    this.published = new Chart("Published", rate);
    this.deliveries = new Chart("Pushed", rate);
    const lines = { lines: 2, steep: true, note: "p50 · p99", join: latencies };
    this.push = new Chart("Mark to push", latency, lines);
    this.ack = new Chart("Mark to ack", latency, lines);
    this.outbox = new Chart("Outbox", (value) => counted(value ?? 0, "batch", "batches"));
    const charts = [this.marks, this.published, this.deliveries, this.push, this.ack, this.outbox];
    byId("charts").append(...charts.map((chart) => chart.element));
  }

  /** @param {Overview} overview */
  show(overview) {
    const { rates, outbox, nodes, at } = overview;
    this.marks.add(rates.marks_per_second);
    this.published.add(rates.published_per_second);
    this.deliveries.add(rates.deliveries_per_second);
    this.push.add(rates.mark_to_push.p50_ms, rates.mark_to_push.p99_ms);
    this.ack.add(rates.mark_to_ack.p50_ms, rates.mark_to_ack.p99_ms);
    this.outbox.add(outbox.rows);
    this.outbox.note.textContent = outbox.rows
      ? `the oldest for ${span(outbox.oldest_seconds * 1000)}`
      : "nothing waits";
    const shown = wideTable(
      counted(nodes.filter((node) => !node.lost).length, "process runs", "processes run"),
      ["Name", "State", "Connections", "Partitions", "Lag", "Marks", "Pushed", "Up", "Version"],
      nodes.map((node) => this._row(node, at, overview.bus)),
    );
    const scrolled = byId("nodes").querySelector(".wide");
    if (scrolled) scrolled.replaceChildren(...shown.childNodes);
    else byId("nodes").append(shown);
    byId("overview-note").textContent =
      `${overview.bus ? "" : "There is no bus: gateways read the database every second. "}` +
      "Charts are of the last three minutes. Each process counts over its last two seconds. ≤: the upper bound of a histogram’s bucket. " +
      "Partitions: those that a gateway’s users need; lag: records it has yet to read of them. " +
      `Epoch ${overview.epoch}.`;
    byId("overview").hidden = false;
  }

  /** @param {NodeSight} node @param {string} now @param {boolean} bus whether there is one */
  _row(node, now, bus) {
    const silent = Date.parse(now) - Date.parse(node.seen_at) > SILENT_MS;
    const apart = Math.abs(node.clock_ahead_ms) > CLOCKS_DIFFER_MS;
    const clock = `clock ${span(Math.abs(node.clock_ahead_ms))} ${node.clock_ahead_ms > 0 ? "ahead" : "behind"}`;
    const state = make(
      "span",
      {},
      node.lost ? badge("lost", "bad") : silent ? badge("silent", "warn") : badge("well", "good"),
      ...(node.lost || silent ? [" seen ", age(node.seen_at, now), " ago"] : []),
      ...(bus && node.bus === false ? [" ", badge("bus away", "warn")] : []),
      ...(apart && !node.lost ? [" ", badge(clock, "warn")] : []),
    );
    const { partitions, lag } = node;
    const many = lag !== null && lag > LAG_MANY;
    return row(
      make("span", {}, id(node.node), " ", make("span", { class: "muted" }, node.role)),
      state,
      node.users === null
        ? "–"
        : `${node.connections.toLocaleString("en")} (${counted(node.users, "user", "users")})`,
      partitions === null ? "–" : partitions.length ? ranges(partitions) : "none",
      lag === null ? "–" : many ? badge(lag.toLocaleString("en"), "warn") : String(lag),
      rate(node.marks_per_second),
      rate(node.deliveries_per_second),
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
