// @ts-check
// What to do where the gateway cannot be reached. A browser says no more than that, but the
// addresses often say why.

/**
 * @param {URL} gateway where this page was told to connect
 * @param {Pick<Location, "origin" | "protocol" | "hostname">} page
 * @returns {string} what to set, and to what
 */
export function advice(gateway, page) {
  const origins = `SEENBY_ALLOWED_ORIGINS=${page.origin}`;
  if (gateway.port === "0") {
    return (
      "SEENBY_GATEWAY_PORT=0 took a free port, which no page is told: start seenby with a port of " +
      "your choice."
    );
  }
  if (page.protocol === "https:" && gateway.protocol === "ws:") {
    return (
      "Browsers let a page that came by https connect by wss only: start seenby with " +
      `SEENBY_GATEWAY_URL=wss://${page.hostname}/ws, or wherever TLS ends, and ${origins}.`
    );
  }
  if (isHere(gateway.hostname) && !isHere(page.hostname)) {
    const url = `${gateway.protocol}//${page.hostname}:${gateway.port || 80}${gateway.pathname}`;
    return (
      "That is the machine you sit at, but this page came from another one: start seenby with " +
      `SEENBY_GATEWAY_HOST=0.0.0.0, SEENBY_GATEWAY_URL=${url} and ${origins}.`
    );
  }
  return (
    "This page goes on trying by itself. If it never does: SEENBY_GATEWAY_URL says where it is, " +
    `and SEENBY_ALLOWED_ORIGINS must have ${page.origin}.`
  );
}

/** Whether a name means the machine that asks. @param {string} hostname */
function isHere(hostname) {
  return /^(localhost|127\..*|\[::1\])$/.test(hostname) || hostname.endsWith(".localhost");
}
