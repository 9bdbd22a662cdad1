// @ts-check
// Draws an AsyncAPI document: each channel, what is sent there and by whom, and its fields.
// It knows what seenby's own document uses of AsyncAPI, and no more.

/**
 * @typedef {{[name: string]: any}} Tree
 * @typedef {(string | Node)[]} Inside
 */

/**
 * An element with a class, and what is inside.
 * @param {string} tag
 * @param {string} style
 * @param {Inside} inside
 */
function made(tag, style, ...inside) {
  const found = document.createElement(tag);
  if (style) found.className = style;
  found.append(...inside);
  return found;
}

/**
 * A line of text, in which `these` are code.
 * @param {string} line
 * @returns {Inside}
 */
function words(line) {
  return line.split("`").map((part, place) => (place % 2 ? made("code", "", part) : part));
}

/**
 * The little of Markdown that descriptions use: paragraphs, lists, code.
 * @param {string} text
 */
function prose(text) {
  return text
    .trim()
    .split(/\n\n+/)
    .map((block) => {
      const lines = block.split("\n");
      if (!lines[0]?.startsWith("- ")) return made("p", "", ...words(lines.join(" ")));
      return made("ul", "", ...lines.map((line) => made("li", "", ...words(line.slice(2)))));
    });
}

/**
 * What a reference leads to.
 * @param {Tree} whole
 * @param {Tree} node
 * @returns {Tree}
 */
function followed(whole, node) {
  if (typeof node.$ref !== "string") return node;
  /** @type {any} */
  let found = whole;
  for (const step of node.$ref.slice(2).split("/")) found = found[step];
  return followed(whole, found);
}

/**
 * A schema's form in a few words.
 * @param {Tree} whole
 * @param {Tree} schema
 * @returns {string}
 */
function form(whole, schema) {
  if (schema.$ref) return nameOf(schema);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum)
    return schema.enum.map((/** @type {any} */ one) => JSON.stringify(one)).join(" or ");
  if (schema.type === "array") return `list of ${form(whole, schema.items)}`;
  const kind = [schema.type].flat().join(" or ");
  const { minLength, maxLength } = schema;
  return maxLength === undefined ? kind : `${kind}, ${minLength ?? 0} to ${maxLength} characters`;
}

/** @param {Tree} reference */
function nameOf(reference) {
  return String(reference.$ref).split("/").pop() ?? "";
}

/**
 * The fields of an object, as a table.
 * @param {Tree} whole
 * @param {string} title
 * @param {Tree} schema
 */
function fields(whole, title, schema) {
  const needed = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const meaning = field.description ?? followed(whole, field).description ?? "";
    return made(
      "tr",
      "",
      made(
        "th",
        "",
        made("code", "", name),
        needed.has(name) ? "" : made("span", "maybe", "optional"),
      ),
      made("td", "", form(whole, field)),
      made("td", "", ...words(meaning)),
    );
  });
  for (const row of rows) row.firstElementChild?.setAttribute("scope", "row");
  if (rows.length === 0) return made("p", "muted", `${title}: none.`);
  return made("table", "fields", made("caption", "", title), made("tbody", "", ...rows));
}

/**
 * One message: closed, a line; open, its fields and examples.
 * @param {Tree} whole
 * @param {Tree} reference
 * @param {string} action
 */
function message(whole, reference, action) {
  const found = followed(whole, reference);
  const sent = action === "send";
  const inside = [];
  if (found.bindings?.kafka?.key) {
    inside.push(made("p", "", "Key: ", ...words(found.bindings.kafka.key.description)));
  }
  if (found.headers) inside.push(fields(whole, "Headers", found.headers));
  const payload = followed(whole, found.payload);
  if (payload.properties) inside.push(fields(whole, "Fields", payload));
  for (const example of found.examples ?? []) {
    inside.push(made("pre", "", JSON.stringify(example.payload, null, 2)));
  }
  return made(
    "details",
    "message",
    made(
      "summary",
      "",
      made("span", sent ? "way sent" : "way taken", sent ? "seenby sends" : "seenby takes"),
      made("code", "name", found.name),
      made("span", "what", ...words(found.summary)),
    ),
    made("div", "inside", ...inside),
  );
}

/**
 * What is sent and taken in a channel, each message once for each way.
 * @param {Tree} whole
 * @param {string} name
 */
function messagesOf(whole, name) {
  /** @type {Map<string, Node>} */
  const found = new Map();
  for (const operation of Object.values(whole.operations)) {
    if (operation.channel.$ref !== `#/channels/${name}`) continue;
    for (const one of operation.messages) {
      found.set(`${operation.action} ${nameOf(one)}`, message(whole, one, operation.action));
    }
    const opposite = operation.action === "send" ? "receive" : "send";
    for (const one of operation.reply?.messages ?? []) {
      found.set(`${opposite} ${nameOf(one)}`, message(whole, one, opposite));
    }
  }
  return [...found.values()];
}

/**
 * The channels of a document, drawn.
 * @param {Tree} whole
 */
export function channels(whole) {
  return Object.entries(whole.channels).map(([name, channel]) => {
    const server = followed(whole, channel.servers[0]);
    const title = made("h2", "", channel.title);
    title.id = `channel-${name}`;
    const where =
      server.protocol === "kafka"
        ? `Topic ${channel.address}`
        : `${server.protocol}://${server.host}${channel.address}`;
    const query = channel.bindings?.ws?.query;
    const section = made(
      "section",
      "channel card",
      title,
      made("p", "where", made("code", "", where)),
      ...prose([channel.summary, channel.description].filter(Boolean).join("\n\n")),
      ...(query ? [fields(whole, "Query", query)] : []),
      ...messagesOf(whole, name),
    );
    section.setAttribute("aria-labelledby", title.id);
    return section;
  });
}
