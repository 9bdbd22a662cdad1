// The messages of a conversation: below one's own stands who has read them.

import { useEffect, useRef } from "react";
import { readOnVisible, type Seenby } from "seenby";

export interface Message {
    id: string;
    senderId: string;
    text: string;
}

interface ChatProps {
    client: Seenby;
    conversationId: string;
    messages: Message[];
    nameOf: (userId: string) => string;
}

export function Chat({ client, conversationId, messages, nameOf }: ChatProps) {
    const list = useRef<HTMLOListElement>(null);

    useEffect(() => {
        client.connect();
        return () => void client.close();
    }, [client]);

    // Messages of others are marked as read when they have been seen for a second.
    useEffect(() => {
        const senders = new Map(messages.map(({ id, senderId }) => [id, senderId]));
        const watcher = readOnVisible(client, {
            mark: (element) => {
                const msg_id = element.id;
                const sender_id = senders.get(msg_id);
                return {
                    msg_id,
                    sender_id,
                    conversation_id: conversationId,
                    conversation_type: "group",
                };
            },
        });
        for (const element of list.current?.querySelectorAll(".theirs") ?? [])
            watcher.observe(element);
        return () => watcher.disconnect();
    }, [client, conversationId, messages]);

    return (
        <ol className="chat" ref={list}>
            {messages.map(({ id, senderId, text }) => {
                const mine = senderId === client.userId;
                return (
                    <li key={id} id={id} className={mine ? "mine" : "theirs"}>
                        <strong>{nameOf(senderId)}</strong>
                        <p>{text}</p>
                        {mine && <seen-by msg-id={id} client={client} nameOf={nameOf} />}
                    </li>
                );
            })}
        </ol>
    );
}
