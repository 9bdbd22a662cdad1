// Errors as an application sees them: the codes of the HTTP reference, and what a close code means.

const RETRIABLE = [
  "too_many",
  "draining",
  "store_unavailable",
  "keys_unavailable",
  "bus_unavailable",
  "unreachable",
];

/** Something was refused or could not be done. */
export class SeenbyError extends Error {
  override readonly name = "SeenbyError";

  /**
   * @param code for programs, such as `own_message`; `unreachable` where nobody answered
   * @param message a sentence for a person
   * @param status of the HTTP answer, or the close code
   * @param retriable whether the same may be tried again later
   * @param retryAfter seconds to wait before that, as the answer asks for
   */
  constructor(
    readonly code: string,
    message: string,
    readonly status?: number,
    readonly retriable: boolean = RETRIABLE.includes(code),
    readonly retryAfter: number = 0,
  ) {
    super(message);
  }
}

/** How a connection ended. */
export interface Ending {
  readonly code: number;
  readonly reason: string;
  /** Why connecting again is of no use. */
  readonly final?: SeenbyError;
}

/** The connection broke without a close (RFC 6455, section 7.1.5). */
export const LOST = 1006;

/** The token has expired. */
export const EXPIRED = 4001;

/** What a gateway's close means. */
export function endingOf(code: number, reason: string): Ending {
  // 1003, 1007, 1009: the other side cannot use what this client sends (RFC 6455, section 7.4.1).
  if (!(code >= 4400 && code <= 4499) && ![1003, 1007, 1009].includes(code)) {
    return { code, reason };
  }
  const names: Record<number, string> = {
    4401: "unauthenticated",
    4403: "forbidden",
    4429: "too_many",
  };
  const sentence = reason || `the gateway closed the connection with code ${code}`;
  return { code, reason, final: new SeenbyError(names[code] ?? "refused", sentence, code, false) };
}
