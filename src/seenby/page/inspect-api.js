// @ts-check
// Asks the API, with the service token where one is needed. The token is kept for this tab only.

/** @typedef {{at: string, exact: boolean}} When */
/** @typedef {{node: string, role: string, why: string}} Missing */
/** @typedef {{count: number, p50_ms: number | null, p99_ms: number | null}} Latency */
/**
 * @typedef {{node: string, role: string, version: string, started_at: string, seen_at: string,
 *   lost: boolean, clock_ahead_ms: number, connections: number, users: number | null,
 *   partitions: number[] | null, lag: number | null, bus: boolean | null,
 *   marks_per_second: number, deliveries_per_second: number}} NodeSight
 */
/**
 * @typedef {{at: string, epoch: string, bus: boolean,
 *   outbox: {rows: number, oldest_seconds: number},
 *   rates: {marks_per_second: number, published_per_second: number,
 *     deliveries_per_second: number, mark_to_push: Latency, mark_to_ack: Latency},
 *   nodes: NodeSight[]}} Overview
 */
/**
 * @typedef {{node: string, connected_at: string, silent: boolean, state: string,
 *   position: number, pushed_at: string | null, acknowledged_at: string | null}} SessionSight
 */
/**
 * @typedef {{device_id: string, seq: number | null, behind: number | null,
 *   last_seen_at: string | null, sessions: SessionSight[]}} DeviceSight
 */
/**
 * @typedef {{seq: number, type: string, at: string, msg_id: string | null,
 *   reader_id: string | null}} EventSight
 */
/**
 * @typedef {{user_id: string, epoch: string, head: number, floor: number, partition: number,
 *   devices: DeviceSight[], recent: EventSight[], missing: Missing[]}} UserSight
 */
/**
 * @typedef {{device_id: string, state: string, node: string | null, pushed: When | null,
 *   acknowledged: When | null, by_ping: boolean, behind: number | null,
 *   last_seen_at: string | null}} DeviceStep
 */
/**
 * @typedef {{reader_id: string, sender_id: string, conversation_id: string,
 *   recorded_at: string, seq: number | null, published: {state: string, at: string | null,
 *   since: string | null, by: string | null}, devices: DeviceStep[]}} ReceiptSight
 */
/**
 * @typedef {{msg_id: string, registered: {conversation_id: string, sender_id: string,
 *   sent_at: string, member_count: number, readers: number} | null, count: number,
 *   receipts: ReceiptSight[], next_cursor: string | null, missing: Missing[]}} MessageSight
 */

const KEPT_AS = "seenby.inspect.token";

/** An answer that is no document; its message can be shown. */
export class Trouble extends Error {
  /** @param {string} message @param {number} status 0: there was no answer */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export class Api {
  /** Whether a token is needed. */
  locked = false;

  get token() {
    return sessionStorage.getItem(KEPT_AS) ?? "";
  }

  set token(token) {
    if (token) sessionStorage.setItem(KEPT_AS, token);
    else sessionStorage.removeItem(KEPT_AS);
  }

  /** Learn whether a token is needed. */
  async begin() {
    const about = await this.get("/page/about.json");
    this.locked = about.auth !== "off";
  }

  /** @returns {Promise<Overview>} */
  overview() {
    return this.get("/api/v1/inspect/overview");
  }

  /** @param {string} user_id @returns {Promise<UserSight>} */
  user(user_id) {
    return this.get(`/api/v1/inspect/users/${encodeURIComponent(user_id)}`);
  }

  /** @param {string} msg_id @param {string} cursor @returns {Promise<MessageSight>} */
  message(msg_id, cursor) {
    const page = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
    return this.get(`/api/v1/inspect/messages/${encodeURIComponent(msg_id)}${page}`);
  }

  /** @param {string} path @returns {Promise<any>} */
  async get(path) {
    /** @type {Record<string, string>} */
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    let response;
    try {
      response = await fetch(path, { headers, cache: "no-store" });
    } catch {
      throw new Trouble("The API does not answer.", 0);
    }
    const document = await response.json().catch(() => ({}));
    if (response.ok) return document;
    const why = typeof document.error === "string" ? document.error : `HTTP ${response.status}`;
    throw new Trouble(`The API refuses: ${why}.`, response.status);
  }
}
