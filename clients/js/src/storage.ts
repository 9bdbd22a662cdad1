// Where a client keeps what shall outlive a page: its device id, its position, and marks that are
// not answered yet. Storage is somebody else's and may be full, forbidden or slow: nothing that a
// client holds in memory depends on it.

type Maybe<T> = T | Promise<T>;

/** A store of texts. `localStorage` is wrapped by `browserStorage()`. */
export interface KeyValue {
  getItem(key: string): Maybe<string | null>;
  setItem(key: string, value: string): Maybe<unknown>;
  removeItem(key: string): Maybe<unknown>;
  keys(): Maybe<Iterable<string>>;
  /** Calls back when another tab has changed something; the returned function ends that. */
  watch?(changed: (key: string, value: string | null) => void): () => void;
  /**
   * Runs the work when no other tab runs any under this name, as `navigator.locks.request` does.
   * Without it tabs do not wait for each other: marks that are kept are sent by each of them.
   */
  lock?: ((name: string, work: () => Promise<void>) => Promise<unknown>) | undefined;
}

/** A store that is gone with the page; several clients of it are to it as several tabs. */
export function memoryStorage(): KeyValue {
  const kept = new Map<string, string>();
  const watchers = new Set<(key: string, value: string | null) => void>();
  const tell = (key: string, value: string | null) => {
    for (const changed of watchers) changed(key, value);
  };
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => {
      kept.set(key, value);
      tell(key, value);
    },
    removeItem: (key) => {
      if (kept.delete(key)) tell(key, null);
    },
    keys: () => [...kept.keys()],
    watch: (changed) => {
      watchers.add(changed);
      return () => watchers.delete(changed);
    },
  };
}

/** The browser's localStorage; in memory where there is none, or the page may not use it. */
export function browserStorage(): KeyValue {
  try {
    // Newer versions of Node have one as well, and warn of who looks at it.
    const storage = globalThis.document && globalThis.localStorage;
    if (storage) {
      // A page without TLS has none.
      const { locks } = (globalThis.navigator ?? {}) as { locks?: LockManager };
      return {
        lock: locks && ((name, work) => locks.request(name, work)),
        getItem: (key) => storage.getItem(key),
        setItem: (key, value) => storage.setItem(key, value),
        removeItem: (key) => storage.removeItem(key),
        keys: () => Object.keys(storage),
        watch: (changed) => {
          const heard = (event: StorageEvent) => {
            if (event.storageArea === storage && event.key) changed(event.key, event.newValue);
          };
          addEventListener("storage", heard);
          return () => removeEventListener("storage", heard);
        },
      };
    }
  } catch {
    // A sandboxed page: even to look at localStorage is an error there.
  }
  return memoryStorage();
}

/**
 * Storage that never throws. What is asked of a synchronous store is done at once, so that a mark
 * is kept though the page is closed in the same breath; an asynchronous one is asked in turn.
 */
export class Shelf {
  #turn: Promise<unknown> | undefined;
  #failing = false;

  /** @param failed is told of the first failure after each success */
  constructor(
    private readonly storage: KeyValue,
    private readonly failed: (error: unknown) => void,
  ) {}

  get(key: string): Maybe<string | null> {
    return this.#do(() => this.storage.getItem(key), null);
  }

  set(key: string, value: string): Maybe<unknown> {
    return this.#do(() => this.storage.setItem(key, value), undefined);
  }

  remove(key: string): Maybe<unknown> {
    return this.#do(() => this.storage.removeItem(key), undefined);
  }

  /** The keys that begin so; undefined where the storage fails. */
  keys(prefix: string): Maybe<string[] | undefined> {
    const begun = (keys: Iterable<string>) => [...keys].filter((key) => key.startsWith(prefix));
    return this.#do<string[] | undefined>(() => {
      const keys = this.storage.keys();
      return isPromise(keys) ? keys.then(begun) : begun(keys);
    }, undefined);
  }

  #do<T>(work: () => Maybe<T>, otherwise: T): Maybe<T> {
    if (this.#turn) return this.#queue(this.#turn.then(work), otherwise);
    try {
      const done = work();
      if (isPromise(done)) return this.#queue(done, otherwise);
      this.#failing = false;
      return done;
    } catch (error) {
      return this.#fail(error, otherwise);
    }
  }

  #queue<T>(work: Promise<T>, otherwise: T): Promise<T> {
    const settled = work.then(
      (value) => {
        this.#failing = false;
        return value;
      },
      (error: unknown) => this.#fail(error, otherwise),
    );
    this.#turn = settled;
    void settled.then(() => {
      if (this.#turn === settled) this.#turn = undefined;
    });
    return settled;
  }

  #fail<T>(error: unknown, otherwise: T): T {
    if (!this.#failing) {
      this.#failing = true;
      this.failed(error);
    }
    return otherwise;
  }
}

export function isPromise<T>(value: Maybe<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
