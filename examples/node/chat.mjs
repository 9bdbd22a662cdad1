// A chat that is no more than it must be: groups, messages, and who is signed in.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Outbox, Seenby } from "./seenby.mjs";

const secret = readFileSync(process.env.SEENBY_JWT_SECRET_FILE, "utf8").trim();
const seenby = new Seenby(process.env.CHAT_SEENBY ?? "http://localhost:8080", secret);
const outbox = new Outbox(seenby);

const groups = new Map(); // id: { members, messages }
let sent = 0; // in your chat: ids that are unique over all groups and for ever

/** What stands between this chat and its users. */
class No extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** The group, for one who is in it. */
function groupOf(id, user) {
  const group = groups.get(id);
  if (!group?.members.has(user)) throw new No(404, "there is no such group");
  return group;
}

const routes = {
  async "POST /groups"(user, _, { id, members }) {
    if (groups.has(id)) throw new No(409, "there is such a group already");
    groups.set(id, { members: new Set([...members, user]), messages: [] });
    outbox.add("PUT", `/api/v1/conversations/${encodeURIComponent(id)}`, {
      type: "group",
      members: [...groups.get(id).members],
    });
    await outbox.deliver();
    return { id, members: groups.get(id).members.size };
  },

  async "POST /groups/:/members"(user, id, { add = [], remove = [] }) {
    const { members } = groupOf(id, user);
    for (const one of add) members.add(one);
    for (const one of remove) members.delete(one);
    const path = `/api/v1/conversations/${encodeURIComponent(id)}/members`;
    outbox.add("POST", path, { add, remove });
    await outbox.deliver();
    return { id, members: members.size };
  },

  async "POST /groups/:/messages"(user, id, { text }) {
    const group = groupOf(id, user);
    const message = { id: `m${++sent}`, sender: user, text };
    group.messages.push(message);
    outbox.add("POST", "/api/v1/messages", {
      msg_id: message.id,
      conversation_id: id,
      sender_id: user,
    });
    // First to seenby, then to the members: none of them marks what is not registered.
    await outbox.deliver();
    return message;
  },

  // How many have read one's own messages, to be shown before the first receipt comes.
  async "GET /groups/:/messages"(user, id) {
    const { messages } = groupOf(id, user);
    const own = messages.filter(({ sender }) => sender === user).slice(-100);
    const query = new URLSearchParams([["limit", "1"], ["user_id", user]]);
    for (const message of own) query.append("msg_id", message.id);
    // Without seenby there are no counts, but there are messages.
    const answer = own.length === 0 ? {} : await seenby
      .call("GET", `/api/v1/messages/receipts?${query}`)
      .catch(() => ({}));
    const counts = new Map((answer.messages ?? [answer]).map((each) => [each.msg_id, each]));
    return messages.map((message) => {
      const { count: read, member_count: of } = counts.get(message.id) ?? {};
      return { ...message, read, of };
    });
  },

  async "GET /token"(user) {
    return { token: seenby.userToken(user) };
  },
};

createServer(async (request, response) => {
  let status = 200;
  let answer;
  try {
    // Stands for whatever signs your users in.
    const user = request.headers["x-user"];
    if (!user) throw new No(401, "sign in");
    const [, first, id, third] = new URL(request.url, "http://chat").pathname.split("/");
    const path = [first, ...(id ? [":", third] : [])].join("/");
    const route = routes[`${request.method} /${path}`];
    if (!route) throw new No(404, "there is no such address");
    const body = Buffer.concat(await request.toArray()).toString();
    answer = await route(user, decodeURIComponent(id ?? ""), body ? JSON.parse(body) : {});
  } catch (error) {
    status = error.status ?? 500;
    answer = { error: error.message };
  }
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(answer)}\n`);
}).listen(Number(process.env.CHAT_PORT ?? 3000), "localhost");
