// What the type checker (npm run check) must accept: nothing here runs.

import type { NamesToggled, SeenByElement, Source } from "../../src/element/index.js";
import type { Seenby } from "../../src/index.js";

type Holds<T extends true> = T;
type Extends<A, B> = A extends B ? true : false;

/** The element takes the real client. */
export type Client = Holds<Extends<Seenby, Source>>;

/** The tag and its events are known by name. */
export type Tag = Holds<Extends<HTMLElementTagNameMap["seen-by"], SeenByElement>>;
export type Opened = Holds<Extends<HTMLElementEventMap["seen-by-open"], CustomEvent<NamesToggled>>>;
