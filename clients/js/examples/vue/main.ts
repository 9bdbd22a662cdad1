// Starts the example: index.html?user=alice&api=http://localhost:8080

import { createApp } from "vue";
import { Seenby } from "seenby";
import "seenby/element";

import Chat from "./Chat.vue";
import type { Message } from "./message";

// In an application these come from the sign-in and from the chat's backend.
const asked = new URLSearchParams(location.search);
const userId = asked.get("user") ?? "alice";
const api = asked.get("api") ?? "http://localhost:8080";
const names = new Map([
  ["alice", "Alice"],
  ["bob", "Bob"],
]);
const messages: Message[] = [
  { id: "hello", senderId: "alice", text: "Who is coming on Friday?" },
  { id: "answer", senderId: "bob", text: "I am." },
];

// Not in a ref(): Vue would wrap it in a proxy, and a client is no plain object. Where it must be
// reactive, shallowRef() holds it.
const client = new Seenby({ userId, api });
createApp(Chat, {
  client,
  conversationId: "friday",
  messages,
  nameOf: (id: string) => names.get(id) ?? id,
}).mount("#app");
