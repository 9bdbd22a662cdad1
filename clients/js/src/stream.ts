// The stream of one user, over any number of connections: connects, resumes, hands events to the
// listeners one after the other, and acknowledges what they have handled.
//
// Events wait in a short queue for the listeners. A client whose queue is full leaves the gateway,
// lets its listeners catch up, and resumes: nothing is lost by being slow.

import type { Calls } from "./calls.js";
import { Connection, type SocketConstructor } from "./connection.js";
import { Cursor } from "./cursor.js";
import { EXPIRED, LOST, SeenbyError, type Ending } from "./errors.js";
import type { Events, Listeners, Status } from "./listeners.js";
import { jittered, type Pace } from "./pace.js";
import type { Credentials } from "./token.js";
import { isEvent, type Frame, type MarkResult, type Position, type StreamEvent } from "./wire.js";

/** What waits for the listeners; `at` is where the stream stands after it, if it has a place. */
type Item = { readonly at: Position | undefined; readonly event: StreamEvent | undefined };

/** Events that wait for listeners before the client leaves; as many as the gateway replays. */
const QUEUE_LIMIT = 10_000;

/** After a welcome, from which on a connection counts as a good one. */
const STEADY = 10_000;

const ACK_EVERY = 200;

export interface Surroundings {
  userId: string;
  deviceId(): string;
  gateway: string | undefined;
  WebSocket(): SocketConstructor;
  calls: Calls;
  credentials: Credentials;
  listeners: Listeners;
  pace: Pace;
  /** Resolves when the storage has been read. */
  ready(): Promise<void>;
  /** `reset`: the position is that of a reset, and may be lower than before. */
  store(position: Position, reset: boolean): void;
  marked(ref: number, result: MarkResult): void;
  /** The status has changed. */
  turned(): void;
}

export class Stream {
  readonly cursor = new Cursor();
  status: Status = "idle";
  connection: Connection | undefined;
  #life: symbol | undefined;
  #queue: Item[] = [];
  #handling: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #caughtUp: (() => void) | undefined;
  #failures = 0;
  #welcomedAt: number | undefined;
  #ackOff: (() => void) | undefined;

  constructor(private readonly around: Surroundings) {}

  connect(): void {
    if (this.#life) {
      if (this.status === "waiting") this.#wake?.();
      return;
    }
    this.#failures = 0;
    const life = (this.#life = Symbol("life"));
    this.#turn({ status: "connecting" });
    void this.#live(life);
  }

  /** Acknowledges, and leaves. What waits for a listener is left to the next connection. */
  async close(): Promise<void> {
    this.#life = undefined;
    this.#acknowledge();
    const left = this.connection?.close();
    this.connection = undefined;
    this.#queue.length = 0;
    this.#wake?.();
    this.#caughtUp?.();
    if (this.status !== "closed") this.#turn({ status: "closed" });
    await left;
  }

  /** The network is back: no need to wait any longer. */
  hurry(): void {
    if (this.status === "waiting") this.#wake?.();
    else this.connection?.probe();
  }

  /** The network is gone. */
  lost(reason: string): void {
    this.connection?.end(reason);
  }

  async #live(life: symbol): Promise<void> {
    await this.around.ready();
    // An event that a listener still has in hand from before would otherwise come twice.
    await this.#handling;
    if (this.#life !== life) return;
    this.cursor.begin();
    this.cursor.device = this.around.deviceId() !== "";
    for (;;) {
      this.#welcomedAt = undefined;
      const ending = await this.#connectOnce(life);
      if (this.#life !== life) return;
      this.connection = undefined;
      this.#ackOff?.();
      this.#ackOff = undefined;
      const { code, reason } = ending;
      const final = ending.final ?? this.#expired(ending);
      if (final) {
        this.#life = undefined;
        this.#turn({ status: "closed", code, reason });
        return this.around.listeners.report(final);
      }
      const wait = this.#waitAfter(code);
      this.#turn({ status: "waiting", code, reason, retry_in: wait / 1000 });
      if (this.#life === life) await this.#wait(wait);
      if (this.#life === life) await this.#room();
      if (this.#life !== life) return;
      this.#turn({ status: "connecting" });
    }
  }

  async #connectOnce(life: symbol): Promise<Ending> {
    const { around } = this;
    let url: string;
    let token: string | undefined;
    try {
      await around.credentials.renew();
      url = await this.#address();
      // The API may have wanted a newer one.
      token = await around.credentials.current();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const final =
        error instanceof SeenbyError &&
        !error.retriable &&
        !(error.code === "token_expired" && around.credentials.renewable);
      return final ? { code: LOST, reason, final: error } : { code: LOST, reason };
    }
    return new Promise((resolve) => {
      if (this.#life !== life) return resolve({ code: LOST, reason: "" });
      const { cursor } = this;
      try {
        this.connection = new Connection(around.WebSocket(), url, around.pace, {
          opened: () => ({
            type: "hello",
            token,
            device_id: around.deviceId(),
            ...cursor.said,
            batch: true,
          }),
          frame: (frame) => this.#take(frame),
          raw: (direction, text) => {
            if (around.listeners.has("frame"))
              around.listeners.tell("frame", { direction, text, at: Date.now() });
          },
          ended: resolve,
        });
      } catch (error) {
        // An address that is none, or one that the page's policy forbids.
        const reason = `${url} cannot be connected to: ${error}`;
        resolve({ code: LOST, reason, final: new SeenbyError("refused", reason) });
      }
    });
  }

  async #address(): Promise<string> {
    const { userId, deviceId, gateway, calls } = this.around;
    const found = gateway
      ? { url: gateway }
      : await calls.call<{ url: string; part?: number }>("GET", "/api/v1/gateway", {
          query: { user_id: userId },
          attempts: 1,
        });
    const url = new URL(found.url);
    url.searchParams.set("user_id", userId);
    if (deviceId()) url.searchParams.set("device_id", deviceId());
    if ("part" in found) url.searchParams.set("part", String(found.part));
    return url.href;
  }

  #expired({ code, reason }: Ending): SeenbyError | undefined {
    if (code !== EXPIRED || this.around.credentials.renewable) return undefined;
    return new SeenbyError("token_expired", reason || "the token has expired", code);
  }

  /** Milliseconds before the next attempt; none where the gateway asks for it, once. */
  #waitAfter(code: number): number {
    const { pace } = this.around;
    if (this.#welcomedAt !== undefined && pace.now() >= this.#welcomedAt + STEADY) {
      this.#failures = 0;
    }
    const failures = this.#failures++;
    return code >= 4000 && code <= 4099 && !failures ? 0 : jittered(pace, failures);
  }

  #wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        callOff();
        if (this.#wake === wake) this.#wake = undefined;
        resolve();
      };
      const callOff = this.around.pace.after(milliseconds, wake);
      this.#wake = wake;
    });
  }

  #take(frame: Frame): void {
    const { cursor } = this;
    if (isEvent(frame)) return this.#event(frame);
    switch (frame.type) {
      case "welcome":
        cursor.welcome(frame);
        this.#welcomedAt = this.around.pace.now();
        this.#ackSoon();
        this.#turn({ status: "online" });
        break;
      case "read_receipts":
        for (const receipt of frame.receipts) this.#event(receipt);
        break;
      case "reset": {
        const at = { epoch: frame.epoch, seq: frame.seq };
        cursor.reset(at);
        this.#put({ at, event: undefined });
        break;
      }
      case "read_result":
        this.around.marked(frame.ref, frame);
        break;
      case "error":
        this.around.listeners.report(new SeenbyError(frame.code, frame.error));
        break;
    }
  }

  // To the application

  #event(event: StreamEvent): void {
    if (!this.cursor.take(event)) return;
    const at = event.seq ? { epoch: this.cursor.epoch, seq: event.seq } : undefined;
    this.#put({ at, event });
  }

  #put(item: Item): void {
    this.#queue.push(item);
    this.#handling ??= this.#handle();
    if (this.#queue.length === QUEUE_LIMIT) this.lost("the listeners are too slow");
  }

  async #handle(): Promise<void> {
    const { listeners } = this.around;
    for (let item = this.#queue.shift(); item; item = this.#queue.shift()) {
      const { at, event } = item;
      if (event) await listeners.tellInTurn(event.type, event as never);
      else if (at) await listeners.tellInTurn("reset", at);
      if (at) this.#handled(at, !event);
      if (this.#queue.length <= QUEUE_LIMIT / 2) this.#caughtUp?.();
    }
    this.#handling = undefined;
  }

  #handled(position: Position, reset: boolean): void {
    this.cursor.handled = position;
    this.around.store(position, reset);
    this.#ackSoon();
  }

  /** Until the queue is half empty. */
  async #room(): Promise<void> {
    if (this.#queue.length <= QUEUE_LIMIT / 2) return;
    await new Promise<void>((resolve) => (this.#caughtUp = resolve));
    this.#caughtUp = undefined;
  }

  #ackSoon(): void {
    if (!this.connection?.welcomed) return;
    this.#ackOff ??= this.around.pace.after(ACK_EVERY, () => {
      this.#ackOff = undefined;
      this.#acknowledge();
    });
  }

  #acknowledge(): void {
    this.#ackOff?.();
    this.#ackOff = undefined;
    if (!this.connection?.welcomed) return;
    const seq = this.cursor.toAcknowledge();
    if (seq !== undefined) this.connection.send({ type: "ack", seq });
  }

  #turn(event: Events["status"]): void {
    this.status = event.status;
    this.around.listeners.tell("status", event);
    this.around.turned();
  }
}
