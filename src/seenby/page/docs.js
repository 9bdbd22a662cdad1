// @ts-check
// The page at /docs: which of its two parts is shown, and Swagger UI with the colours of the system.
// The part is named by the address: #messages, or #/ and what Swagger UI puts behind it.

import { channels } from "./docs-messages.js";

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

const parts = { http: element("http-part"), messages: element("messages-part") };
const addresses = { http: "#/", messages: "#messages" };
/** @type {Set<string>} */
const drawn = new Set();

/** What each part is drawn by, the first time that it is shown. */
const draw = {
  http() {
    // Swagger UI's bundle is no module: it names itself in the window.
    const bundle = /** @type {any} */ (window).SwaggerUIBundle;
    bundle({
      url: "/openapi.json",
      dom_id: "#swagger",
      deepLinking: true,
      docExpansion: "list",
      defaultModelsExpandDepth: 0,
      displayRequestDuration: true,
      tryItOutEnabled: true,
      // It would ask a server elsewhere.
      validatorUrl: null,
    });
  },
  async messages() {
    const answer = await fetch("/asyncapi.json");
    if (!answer.ok) throw new Error(`/asyncapi.json was answered with ${answer.status}`);
    element("channels").replaceChildren(...channels(await answer.json()));
  },
};

async function show() {
  const chosen = location.hash === addresses.messages ? "messages" : "http";
  for (const [name, part] of Object.entries(parts)) part.hidden = name !== chosen;
  for (const link of document.querySelectorAll(".parts a")) {
    if (link.getAttribute("href") === addresses[chosen]) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  element("trouble").hidden = true;
  if (drawn.has(chosen)) return;
  drawn.add(chosen);
  try {
    await draw[chosen]();
  } catch (error) {
    drawn.delete(chosen);
    const trouble = element("trouble");
    trouble.textContent = `This part cannot be shown now: ${String(error)}`;
    trouble.hidden = false;
  }
}

// Swagger UI writes HTML as text, which it has cleaned by DOMPurify. Pages here may do so only by a
// policy, so this one has a policy that lets it; scripts from text stay forbidden.
/** @type {any} */ (window).trustedTypes?.createPolicy("default", {
  createHTML: (/** @type {string} */ html) => html,
});

const dark = matchMedia("(prefers-color-scheme: dark)");
function colour() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

colour();
dark.addEventListener("change", colour);
addEventListener("hashchange", show);
await show();
