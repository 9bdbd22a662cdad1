// What seenby and a client say to each other. Names and units are those of the wire: snake_case,
// times in unix seconds in frames, ISO 8601 in HTTP answers. Fields of the gateway that are not
// known yet are passed on untouched.

/** A place in the stream of a user. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

/** A message that was read. Sender and conversation may be left out where it is registered. */
export interface Mark {
  readonly msg_id: string;
  readonly sender_id?: string | undefined;
  readonly conversation_id?: string | undefined;
  readonly conversation_type?: "private" | "group" | undefined;
}

/** The fact that a reader has read a message. */
export interface Receipt {
  readonly id: number;
  readonly msg_id: string;
  readonly reader_id: string;
  readonly sender_id: string;
  readonly conversation_id: string;
  readonly conversation_type: "private" | "group";
  /** ISO 8601, to the second. */
  readonly read_at: string;
  readonly device_id: string;
}

interface Event {
  readonly msg_id: string;
  readonly conversation_id: string;
  /** When it was pushed, in unix seconds. */
  readonly timestamp: number;
  /** Its place in the stream; missing where it has none, and then it comes live only. */
  readonly seq?: number;
}

/** A message of the user's was read; `read` of `of` people have now, where that is known. */
export interface ReadReceipt extends Event {
  readonly type: "read_receipt";
  readonly reader_id: string;
  /** Unix seconds. */
  readonly read_at: number;
  readonly read?: number;
  readonly of?: number;
}

/** So many have read a message of the user's; who they are is not told. */
export interface ReadCount extends Event {
  readonly type: "read_count";
  readonly read?: number;
  readonly of?: number;
}

/** A reader has taken the receipt back. */
export interface ReadWithdrawn extends Event {
  readonly type: "read_withdrawn";
  readonly reader_id: string;
  /** Unix seconds. */
  readonly withdrawn_at: number;
  readonly read?: number;
  readonly of?: number;
}

/** The user has read a message on some device; with `up_to` it and all before it. */
export interface ReadSelf extends Event {
  readonly type: "read_self";
  /** Unix seconds. */
  readonly read_at: number;
  /** Messages of the conversation that are left. */
  readonly unread?: number;
  readonly device_id: string;
  readonly up_to?: boolean;
}

/** The user has made a message unread again. */
export interface UnreadSelf extends Event {
  readonly type: "unread_self";
  readonly unread?: number;
}

/** What has a place in the stream. */
export type StreamEvent = ReadReceipt | ReadCount | ReadWithdrawn | ReadSelf | UnreadSelf;

/** Who has read one message. `count` may be over the number of names. */
export interface MessageReceipts {
  readonly msg_id: string;
  readonly count: number;
  /** To how many it was sent; missing where the message is not registered. */
  readonly member_count?: number;
  readonly receipts: readonly Receipt[];
  /** False where the user is shown no names. */
  readonly names?: boolean;
  /** For the page after this one. */
  readonly next_cursor?: string;
}

/** How much the user has not read. */
export interface UnreadCounts {
  readonly user_id: string;
  readonly count: number;
  readonly conversations: readonly {
    readonly conversation_id: string;
    readonly conversation_type: "private" | "group";
    readonly count: number;
  }[];
}

/** What the user has not read, the oldest first. */
export interface Unread {
  readonly user_id: string;
  readonly messages: readonly {
    readonly msg_id: string;
    readonly conversation_id: string;
    readonly sender_id: string;
    /** ISO 8601, to the second. */
    readonly sent_at: string;
  }[];
  readonly next_offset?: number;
}

/** Whether senders are told the user's name; null: the user has said nothing. */
export interface Preferences {
  readonly user_id: string;
  readonly send_receipts: boolean | null;
  readonly conversations: readonly {
    readonly conversation_id: string;
    readonly send_receipts: boolean;
  }[];
}

/** Frames of the gateway, besides events. */
export type Frame =
  | StreamEvent
  | { readonly type: "read_receipts"; readonly receipts: readonly ReadReceipt[] }
  | {
      readonly type: "welcome";
      readonly epoch: string;
      readonly seq: number;
      readonly resumed: boolean;
      /** Seconds. */
      readonly heartbeat: number;
    }
  | { readonly type: "reset"; readonly epoch: string; readonly seq: number }
  | ({ readonly type: "read_result"; readonly ref: number } & MarkResult)
  | { readonly type: "pong" }
  | { readonly type: "error"; readonly code: string; readonly error: string };

/** The answer to one mark. */
export type MarkResult =
  | { readonly success: true; readonly receipt: Receipt }
  | { readonly success: false; readonly code: string; readonly error: string };

export const SUBPROTOCOL = "seenby.v1";

const EVENTS = ["read_receipt", "read_count", "read_withdrawn", "read_self", "unread_self"];

/** Whether a frame has a place in the stream. */
export function isEvent(frame: Frame): frame is StreamEvent {
  return EVENTS.includes(frame.type);
}
