// Tells React's JSX of the element. React 19 sets what is a property of it as a property.

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { NamesToggled, SeenByElement } from "seenby/element";

type SeenByProps = DetailedHTMLProps<HTMLAttributes<SeenByElement>, SeenByElement> &
  Partial<
    Pick<
      SeenByElement,
      "client" | "load" | "nameOf" | "texts" | "read" | "of" | "readAt" | "announce" | "locale"
    >
  > & {
    "msg-id": string;
    "onseen-by-open"?: (event: CustomEvent<NamesToggled>) => void;
    "onseen-by-close"?: (event: CustomEvent<NamesToggled>) => void;
  };

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "seen-by": SeenByProps;
    }
  }
}
