// What the package `seenby` gives away.

export { Seenby, type Options } from "./client.js";
export type { Socket, SocketConstructor } from "./connection.js";
export { SeenbyError } from "./errors.js";
export type { Events, Listener, Status } from "./listeners.js";
export type { Pace } from "./pace.js";
export { browserStorage, memoryStorage, type KeyValue } from "./storage.js";
export type { Token } from "./token.js";
export { readOnVisible, type Watcher, type WatchOptions } from "./visible.js";
export type {
  Mark,
  MessageReceipts,
  Position,
  Preferences,
  ReadCount,
  ReadReceipt,
  ReadSelf,
  ReadWithdrawn,
  Receipt,
  StreamEvent,
  Unread,
  UnreadCounts,
  UnreadSelf,
} from "./wire.js";
