// @ts-check
// The network of one device, with a switch. Off, its socket is cut without a word, as when a phone
// loses its signal, and its requests fail. The client knows nothing of it: it is given a WebSocket
// and a fetch, as anybody may.

/** @typedef {import("/page/seenby.js").Socket} Socket */

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 3;

/** What browsers say of a connection that broke (RFC 6455, section 7.1.5). */
const BROKEN = 1006;

export class Network {
  /** @type {Set<Line>} */
  #lines = new Set();
  #requests = new AbortController();
  #missed;

  /**
   * @param {boolean} on
   * @param {(gateway: string | undefined) => void} missed is told which gateway cannot be reached;
   *   undefined: it can, or it is the API that is away
   */
  constructor(on, missed) {
    this.on = on;
    this.#missed = missed;
    const network = this;
    this.WebSocket = class extends Line {
      /** @param {string} url @param {string} protocol */
      constructor(url, protocol) {
        super(url, protocol, network, missed);
      }
    };
  }

  /** @param {boolean} on */
  turn(on) {
    if (on === this.on) return;
    this.on = on;
    if (on) return;
    this.#requests.abort(new TypeError("the network is off"));
    this.#requests = new AbortController();
    for (const line of [...this.#lines]) line.cut();
  }

  /** @type {typeof globalThis.fetch} */
  fetch = async (input, init) => {
    if (!this.on) throw new TypeError("the network is off");
    const { signal } = this.#requests;
    const signals = init?.signal ? [signal, init.signal] : [signal];
    try {
      return await globalThis.fetch(input, { ...init, signal: AbortSignal.any(signals) });
    } catch (error) {
      this.#missed(undefined);
      throw error;
    }
  };

  /** @param {Line} line @param {boolean} there */
  has(line, there) {
    if (there) this.#lines.add(line);
    else this.#lines.delete(line);
  }
}

/** @param {string} url @returns {string} without the query */
function addressOf(url) {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}

/** A socket over a network that can be cut. @implements {Socket} */
class Line {
  /** @type {Socket["onopen"]} */ onopen = null;
  /** @type {Socket["onmessage"]} */ onmessage = null;
  /** @type {Socket["onclose"]} */ onclose = null;
  /** @type {Socket["onerror"]} */ onerror = null;
  readyState = CONNECTING;
  protocol = "";
  /** @type {WebSocket | undefined} */ #socket;
  #network;

  /**
   * @param {string} url
   * @param {string} protocol
   * @param {Network} network
   * @param {(gateway: string | undefined) => void} missed
   */
  constructor(url, protocol, network, missed) {
    this.#network = network;
    if (!network.on) {
      setTimeout(() => this.cut());
      return;
    }
    network.has(this, true);
    const socket = (this.#socket = new WebSocket(url, protocol));
    socket.onopen = (event) => {
      this.readyState = OPEN;
      this.protocol = socket.protocol;
      missed(undefined);
      this.onopen?.(/** @type {never} */ (event));
    };
    socket.onmessage = (event) => this.onmessage?.(/** @type {never} */ (event));
    socket.onclose = (event) => {
      if (this.readyState === CONNECTING) missed(addressOf(url));
      this.#end(event);
    };
  }

  /** The network is gone: what is on its way is lost, and the other end is told nothing. */
  cut() {
    const socket = this.#socket;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      // Browsers warn of a socket that is closed before it is open.
      socket.onopen = () => socket.close();
      if (socket.readyState === OPEN) socket.close();
    }
    this.#end({ code: BROKEN, reason: "the network is off" });
  }

  /** @param {string} text */
  send(text) {
    this.#socket?.send(text);
  }

  /** @param {number} [code] @param {string} [reason] */
  close(code, reason) {
    this.#socket?.close(code, reason);
  }

  /** @param {{ code: number, reason: string }} event */
  #end(event) {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.#network.has(this, false);
    this.onclose?.(/** @type {never} */ (event));
  }
}
