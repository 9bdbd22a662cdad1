// seenby itself as a real process: the installed command, with settings of the test's own. Whatever
// is started is ended by its id, also when the tests fail.

import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { until } from "./until.js";

const COMMAND = fileURLToPath(new URL("../../../../.venv/bin/seenby", import.meta.url));

const running = new Set<ChildProcess>();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Server {
  readonly folder = mkdtempSync(join(tmpdir(), "seenby-js-"));
  #child: ChildProcess | undefined;

  private constructor(
    readonly apiPort: number,
    readonly gatewayPort: number,
    private readonly settings: Record<string, string>,
  ) {}

  static async start(settings: Record<string, string> = {}): Promise<Server> {
    for (;;) {
      const server = new Server(await freePort(), await freePort(), settings);
      try {
        await server.start();
        return server;
      } catch (error) {
        // Somebody else was quicker with a port that was free.
        const taken = server.log.includes("is in use already");
        await server.remove();
        if (!taken) throw error;
      }
    }
  }

  get api(): string {
    return `http://127.0.0.1:${this.apiPort}`;
  }

  get gateway(): string {
    return `ws://127.0.0.1:${this.gatewayPort}/ws`;
  }

  get environment(): Record<string, string> {
    return {
      PATH: process.env["PATH"] ?? "",
      SEENBY_API_PORT: String(this.apiPort),
      SEENBY_GATEWAY_PORT: String(this.gatewayPort),
      SEENBY_DATABASE_URL: `sqlite:///${this.folder}/seenby.db`,
      SEENBY_DRAIN_SECONDS: "0.2",
      SEENBY_LOG_FORMAT: "json",
      ...this.settings,
    };
  }

  async start(): Promise<void> {
    const log = openSync(this.#log, "a");
    const child = spawn(COMMAND, ["serve"], {
      cwd: this.folder,
      env: this.environment,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    running.add(child);
    child.on("exit", () => running.delete(child));
    this.#child = child;
    await until("seenby is alive", async () => {
      if (child.exitCode !== null) throw new Error(`seenby has ended\n${this.log}`);
      try {
        return (await fetch(`${this.api}/health`)).ok;
      } catch {
        return false;
      }
    });
  }

  /** SIGKILL, as a power cut would. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** SIGTERM, and a clean end. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Ends it for good. */
  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Runs another command of seenby's on the same database. */
  async run(...command: string[]): Promise<string> {
    const child = spawn(COMMAND, command, { cwd: this.folder, env: this.environment });
    let said = "";
    child.stdout.on("data", (text) => (said += String(text)));
    child.stderr.on("data", (text) => (said += String(text)));
    const code = await new Promise((resolve) => child.on("close", resolve));
    if (code !== 0) throw new Error(`seenby ${command.join(" ")} ended with ${code}\n${said}`);
    return said;
  }

  get #log(): string {
    return join(this.folder, "log");
  }

  get log(): string {
    return readFileSync(this.#log, "utf8").slice(-4000);
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.on("exit", resolve));
    child.kill(signal);
    await ended;
  }
}

/** A port below the range that the kernel gives to outgoing connections, free right now. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}
