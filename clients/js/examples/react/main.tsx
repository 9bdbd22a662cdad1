// Starts the example: index.html?user=alice&api=http://localhost:8080

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Seenby } from "seenby";
import "seenby/element";

import { Chat, type Message } from "./chat";

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

const client = new Seenby({ userId, api });
const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no #app");
createRoot(root).render(
    <StrictMode>
        <Chat
            client={client}
            conversationId="friday"
            messages={messages}
            nameOf={(id) => names.get(id) ?? id}
        />
    </StrictMode>,
);
