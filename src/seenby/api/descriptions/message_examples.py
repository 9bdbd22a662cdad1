"""Examples of messages: what docs/websocket.md and docs/kafka.md show, which a test compares."""

from __future__ import annotations

from typing import Any

FRAMES: dict[str, list[dict[str, Any]]] = {
    "read_receipt": [
        {
            "type": "read_receipt",
            "msg_id": "test-msg-123",
            "reader_id": "user456",
            "read_at": 1795519724,
            "conversation_id": "conv789",
            "timestamp": 1795519917,
            "seq": 1,
        },
        {
            "type": "read_receipt",
            "msg_id": "m1",
            "reader_id": "bob",
            "read_at": 1795519724,
            "conversation_id": "team",
            "timestamp": 1795519917,
            "seq": 3,
            "read": 5,
            "of": 10,
        },
    ],
    "hello": [
        {
            "type": "hello",
            "device_id": "laptop",
            "epoch": "8d4a05b273e4d059",
            "seq": 2,
            "batch": True,
        }
    ],
    "welcome": [
        {
            "type": "welcome",
            "user_id": "user123",
            "device_id": "laptop",
            "epoch": "8d4a05b273e4d059",
            "seq": 2,
            "resumed": True,
            "heartbeat": 30,
        }
    ],
    "reset": [{"type": "reset", "epoch": "8d4a05b273e4d059", "seq": 2}],
    "read_receipts": [
        {
            "type": "read_receipts",
            "receipts": [
                {
                    "type": "read_receipt",
                    "msg_id": "test-msg-123",
                    "reader_id": "user456",
                    "read_at": 1795519724,
                    "conversation_id": "conv789",
                    "timestamp": 1795519917,
                    "seq": 1,
                },
                {
                    "type": "read_receipt",
                    "msg_id": "m1",
                    "reader_id": "bob",
                    "read_at": 1795519724,
                    "conversation_id": "conv789",
                    "timestamp": 1795519917,
                    "seq": 2,
                },
            ],
        }
    ],
    "read_count": [
        {
            "type": "read_count",
            "msg_id": "m7",
            "conversation_id": "all-hands",
            "read": 512,
            "of": 2000,
            "timestamp": 1795519917,
            "seq": 4,
        }
    ],
    "read_withdrawn": [
        {
            "type": "read_withdrawn",
            "msg_id": "m1",
            "reader_id": "bob",
            "conversation_id": "team",
            "withdrawn_at": 1795519917,
            "timestamp": 1795519917,
            "seq": 5,
            "read": 4,
            "of": 10,
        }
    ],
    "read_self": [
        {
            "type": "read_self",
            "msg_id": "m9",
            "conversation_id": "team",
            "read_at": 1795519917,
            "unread": 3,
            "device_id": "phone",
            "timestamp": 1795519917,
            "seq": 6,
        },
        {
            "type": "read_self",
            "msg_id": "m12",
            "conversation_id": "team",
            "read_at": 1795519917,
            "unread": 0,
            "device_id": "",
            "timestamp": 1795519917,
            "seq": 7,
            "up_to": True,
        },
    ],
    "unread_self": [
        {
            "type": "unread_self",
            "msg_id": "m12",
            "conversation_id": "team",
            "unread": 1,
            "timestamp": 1795519917,
            "seq": 8,
        }
    ],
    "ack": [{"type": "ack", "seq": 2}],
    "read": [
        {
            "type": "read",
            "ref": "r1",
            "msg_id": "m9",
            "reader_id": "user123",
            "sender_id": "user456",
            "conversation_id": "conv789",
        }
    ],
    "read_result": [
        {
            "type": "read_result",
            "ref": "r1",
            "success": True,
            "receipt": {
                "id": 3,
                "msg_id": "m9",
                "reader_id": "user123",
                "sender_id": "user456",
                "conversation_id": "conv789",
                "conversation_type": "private",
                "read_at": "2026-11-24T11:31:57Z",
                "device_id": "",
            },
        },
        {
            "type": "read_result",
            "ref": "r2",
            "success": False,
            "code": "own_message",
            "error": "reader_id must not be the sender: one's own message is not marked",
        },
    ],
    "ping": [{"type": "ping"}],
    "pong": [{"type": "pong"}],
    "error": [{"type": "error", "code": "bad_request", "error": "seq must be at most the head"}],
}

RECORDS: dict[str, list[dict[str, Any]]] = {
    "receipt": [
        {
            "msg_id": "test-msg-123",
            "sender_id": "user123",
            "reader_id": "user456",
            "conversation_id": "conv789",
            "read_at": 1795520006,
            "device_id": "",
            "seq": 1,
        },
        {
            "msg_id": "test-msg-123",
            "sender_id": "user123",
            "reader_id": "user456",
            "conversation_id": "conv789",
            "read_at": 1795520006,
            "device_id": "phone",
            "seq": 2,
            "read": 5,
            "of": 10,
        },
    ],
    "update_read_count": [
        {
            "type": "read_count",
            "user_id": "user123",
            "msg_id": "test-msg-123",
            "conversation_id": "conv789",
            "at": 1795520007,
            "read": 512,
            "of": 2000,
            "seq": 3,
        }
    ],
    "update_read_withdrawn": [
        {
            "type": "read_withdrawn",
            "user_id": "user123",
            "msg_id": "test-msg-123",
            "conversation_id": "conv789",
            "reader_id": "user456",
            "at": 1795520008,
            "read": 4,
            "of": 10,
            "seq": 4,
        }
    ],
    "update_read_self": [
        {
            "type": "read_self",
            "user_id": "user456",
            "msg_id": "test-msg-123",
            "conversation_id": "conv789",
            "at": 1795520006,
            "unread": 3,
            "device_id": "phone",
            "seq": 1,
        },
        {
            "type": "read_self",
            "user_id": "user456",
            "msg_id": "test-msg-130",
            "conversation_id": "conv789",
            "at": 1795520009,
            "unread": 0,
            "device_id": "phone",
            "up_to": True,
            "seq": 2,
        },
    ],
    "update_unread_self": [
        {
            "type": "unread_self",
            "user_id": "user456",
            "msg_id": "test-msg-123",
            "conversation_id": "conv789",
            "at": 1795520008,
            "unread": 1,
            "seq": 3,
        }
    ],
    "chat_message": [
        {
            "msg_id": "test-msg-123",
            "group_id": "conv789",
            "sender_id": "user123",
            "timestamp": 1795520001,
        }
    ],
}
