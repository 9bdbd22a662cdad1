// Calls of the HTTP API. All of them may be done twice without harm, so an answer that was lost is
// asked for again.

import { SeenbyError } from "./errors.js";
import { jittered, type Pace } from "./pace.js";
import type { Credentials } from "./token.js";

type Values = Record<string, string | number | boolean | null | undefined | readonly string[]>;

interface Request {
  query?: Values;
  /** Becomes a JSON object. */
  body?: object;
  /** How often it is tried. */
  attempts?: number;
  /** Milliseconds for one attempt. */
  within?: number;
}

const ANSWER_WITHIN = 10_000;
const LONGEST_RETRY_AFTER = 30;

export class Calls {
  constructor(
    private readonly api: string,
    private readonly fetch: typeof globalThis.fetch,
    private readonly credentials: Credentials,
    private readonly pace: Pace,
  ) {}

  /** The answer; rejects with a SeenbyError. */
  async call<T>(method: string, path: string, request: Request = {}): Promise<T> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(request.query ?? {})) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null) query.append(name, String(one));
      }
    }
    const url = `${this.api}${path}${request.query ? `?${query}` : ""}`;
    let refused: string | undefined;
    for (let failures = 0; ;) {
      const { credentials } = this;
      const token = await (refused === undefined
        ? credentials.current()
        : credentials.renew(refused));
      try {
        return (await this.#attempt(method, url, request, token)) as T;
      } catch (error) {
        if (!(error instanceof SeenbyError)) throw error;
        if (error.status === 401 && this.credentials.renewable && refused === undefined) {
          refused = token ?? "";
          continue;
        }
        failures += 1;
        const { retriable, retryAfter } = error;
        if (!retriable || failures >= (request.attempts ?? 5)) throw error;
        if (retryAfter > LONGEST_RETRY_AFTER) throw error;
        const wait = retryAfter * 1000 + jittered(this.pace, failures - 1, 200, 5000);
        await new Promise<void>((resolve) => this.pace.after(wait, resolve));
      }
    }
  }

  async #attempt(method: string, url: string, request: Request, token: string | undefined) {
    const { fetch } = this; // Called as a function: a browser's is no method of anything else.
    const { body, within = ANSWER_WITHIN } = request;
    const headers: Record<string, string> = {};
    if (body) headers["Content-Type"] = "application/json";
    if (token !== undefined) headers["Authorization"] = `Bearer ${token}`;
    const abort = new AbortController();
    const callOff = this.pace.after(within, () => abort.abort());
    let response: Response;
    let answer: unknown;
    try {
      response = await fetch(url, {
        method,
        headers,
        body: body ? JSON.stringify(body) : null,
        signal: abort.signal,
        credentials: "omit",
        cache: "no-store",
      });
      answer = parsed(await response.text());
    } catch (error) {
      throw new SeenbyError("unreachable", `the API at ${url} cannot be reached: ${error}`);
    } finally {
      callOff();
    }
    if (response.ok && answer) return answer;
    // It may be a proxy that answers, and then there is no code.
    const { code, error } = (answer ?? {}) as { code?: string; error?: string };
    const { status } = response;
    throw new SeenbyError(
      code ?? { 401: "unauthenticated", 413: "too_large" }[status] ?? "refused",
      error ?? `the API at ${url} answered with status ${status}`,
      status,
      code === undefined ? status >= 500 || status === 429 || response.ok : undefined,
      secondsIn(response.headers.get("Retry-After")),
    );
  }
}

/** Of a Retry-After header; what is no number is none, and nobody waits for more than an hour. */
function secondsIn(text: string | null): number {
  return Math.min(Math.max(Number(text) || 0, 0), 3600);
}

function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
