// What a chat's backend needs to work with seenby: tokens, one call, and an outbox of calls.

import { createHmac } from "node:crypto";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A JSON Web Token, signed with the secret that seenby has as well. It holds for 15 minutes. */
export function signed(claims, secret) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${part({ alg: "HS256" })}.${part({ ...claims, iat: now, exp: now + 900 })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

/** Refused for good: the same call would be refused again. */
export class Refused extends Error {}

const FOR_GOOD = new Set([400, 404, 409, 413, 422, 500]);

export class Seenby {
  #api;
  #secret;

  constructor(api, secret) {
    this.#api = api;
    this.#secret = secret;
  }

  /** For a user's clients: marks as this user, and is told what this user may know. */
  userToken(userId) {
    return signed({ sub: userId }, this.#secret);
  }

  /** One call, in the name of the chat. Throws Refused, or any other error: then call again. */
  async call(method, path, body) {
    const answer = await fetch(this.#api + path, {
      method,
      headers: {
        authorization: `Bearer ${signed({ scope: "service" }, this.#secret)}`,
        ...(body && { "content-type": "application/json" }),
      },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(5000),
    });
    if (answer.ok) return answer.json();
    const { code, error } = await answer.json().catch(() => ({}));
    const why = `${method} ${path}: ${answer.status} ${code ?? ""}: ${error ?? "no reason given"}`;
    throw FOR_GOOD.has(answer.status) ? new Refused(why) : new Error(why);
  }
}

/** Calls that are still to be made, in their order. */
export class Outbox {
  #calls = [];
  #seenby;
  #running;
  #failures = 0;
  #again;

  constructor(seenby) {
    this.#seenby = seenby;
  }

  /** In your chat: a row, written in the transaction that writes the message or the member. */
  add(method, path, body) {
    this.#calls.push({ method, path, body });
  }

  /** Settles when nothing is left, or when seenby is away; then it is tried again by itself. */
  deliver() {
    this.#running ??= this.#work().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #work() {
    clearTimeout(this.#again);
    while (this.#calls.length > 0) {
      const { method, path, body } = this.#calls[0];
      try {
        await this.#seenby.call(method, path, body);
      } catch (error) {
        console.error(error.message);
        if (!(error instanceof Refused)) return this.#later();
      }
      this.#failures = 0;
      this.#calls.shift();
    }
  }

  /** Half a second, a second, two, ... half a minute at most; by chance up to half of that less. */
  #later() {
    const pause = Math.min(500 * 2 ** this.#failures++, 30_000) * (1 - Math.random() / 2);
    this.#again = setTimeout(() => this.deliver(), pause);
  }
}
