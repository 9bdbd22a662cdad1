// A gateway without a network: the sockets that a client opens, and what it says on them.

import type { Socket } from "../../src/index.js";

type Frame = Record<string, unknown>;

export class FakeSocket implements Socket {
  protocol = "seenby.v1";
  readyState = 0;
  onopen: ((event: never) => unknown) | null = null;
  onmessage: ((event: never) => unknown) | null = null;
  onclose: ((event: never) => unknown) | null = null;
  onerror: ((event: never) => unknown) | null = null;
  /** What the client has said. */
  readonly said: Frame[] = [];
  /** The code of the client's close; null: closed without one. */
  closed: number | null | undefined;

  constructor(readonly url: string) {}

  send(text: string): void {
    this.said.push(JSON.parse(text) as Frame);
  }

  close(code?: number): void {
    this.closed ??= code ?? null;
    this.readyState = 2;
  }

  // The gateway's side

  open(): void {
    this.readyState = 1;
    this.onopen?.({} as never);
  }

  tell(...frames: (Frame | string)[]): void {
    for (const frame of frames) {
      const data = typeof frame === "string" ? frame : JSON.stringify(frame);
      this.onmessage?.({ data } as never);
    }
  }

  welcome(seq = 0, epoch = "e1", heartbeat = 30): void {
    this.open();
    this.tell({ type: "welcome", epoch, seq, resumed: true, heartbeat });
  }

  end(code: number, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason } as never);
  }

  saidOf(type: string): Frame[] {
    return this.said.filter((frame) => frame["type"] === type);
  }
}

/** Makes a constructor whose sockets the test holds in its hands. */
export function fakeGateway(): {
  sockets: FakeSocket[];
  last(): FakeSocket;
  WebSocket: new (url: string) => FakeSocket;
} {
  const sockets: FakeSocket[] = [];
  return {
    sockets,
    last: () => sockets.at(-1) as FakeSocket,
    WebSocket: class extends FakeSocket {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    },
  };
}

/** A receipt's frame. */
export function receipt(seq: number | undefined, msg_id = `m${seq}`): Frame {
  return {
    type: "read_receipt",
    msg_id,
    reader_id: "bob",
    read_at: 1,
    conversation_id: "c1",
    timestamp: 2,
    ...(seq === undefined ? {} : { seq }),
  };
}
