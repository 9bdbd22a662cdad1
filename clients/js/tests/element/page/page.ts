// The test page's script: a client without a server behind the elements that are live.

import { FakeClient } from "../fake.js";

const client = new FakeClient();
client.message("live", 10);
client.message("pages", 60);
for (let n = 1; n <= 45; n += 1) client.mark("pages", `reader${String(n).padStart(2, "0")}`);
const crowd = client.message("crowd", 4_000);
crowd.names = false;
client.markHidden("crowd", 1_234);
client.message("direct", undefined, "private");
client.mark("direct", "bob");
client.deliver();

for (const id of ["live", "pages", "crowd", "direct"]) {
  const element = document.querySelector<HTMLElementTagNameMap["seen-by"]>(`seen-by#${id}`);
  if (element) element.client = client;
}

Object.assign(window, { client });
