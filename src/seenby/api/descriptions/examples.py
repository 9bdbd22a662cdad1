"""An example of each operation: what docs/http.md shows, which a test compares."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {
    "mark": {
        "request": {
            "msg_id": "test-msg-123",
            "reader_id": "user456",
            "sender_id": "user123",
            "conversation_id": "conv789",
            "conversation_type": "private",
        },
        "answer": {
            "success": True,
            "receipt": {
                "id": 1,
                "msg_id": "test-msg-123",
                "reader_id": "user456",
                "sender_id": "user123",
                "conversation_id": "conv789",
                "conversation_type": "private",
                "read_at": "2026-11-24T11:28:44Z",
                "device_id": "",
            },
        },
    },
    "mark_batch": {
        "request": {
            "receipts": [
                {
                    "msg_id": "m1",
                    "reader_id": "bob",
                    "sender_id": "user123",
                    "conversation_id": "conv789",
                },
                {
                    "msg_id": "m2",
                    "reader_id": "user123",
                    "sender_id": "user123",
                    "conversation_id": "conv789",
                },
                {"msg_id": "m3"},
            ]
        },
        "answer": {
            "success": True,
            "results": [
                {
                    "success": True,
                    "receipt": {
                        "id": 2,
                        "msg_id": "m1",
                        "reader_id": "bob",
                        "sender_id": "user123",
                        "conversation_id": "conv789",
                        "conversation_type": "private",
                        "read_at": "2026-11-24T11:28:44Z",
                        "device_id": "",
                    },
                },
                {
                    "success": False,
                    "error": "reader_id must not be the sender: one's own message is not marked",
                    "code": "own_message",
                },
                {
                    "success": False,
                    "error": "reader_id must be given: 1 to 64 printable "
                    "ASCII characters without spaces (0x21 to 0x7E)",
                    "code": "bad_request",
                },
            ],
        },
    },
    "withdraw": {
        "request": {"msg_id": "m10", "reader_id": "bob"},
        "answer": {
            "success": True,
            "receipt": {
                "id": 1,
                "msg_id": "m10",
                "reader_id": "bob",
                "sender_id": "alice",
                "conversation_id": "team",
                "conversation_type": "group",
                "read_at": "2026-11-24T18:59:37Z",
                "device_id": "",
            },
        },
    },
    "read_conversation": {
        "request": {"user_id": "carol", "conversation_id": "team", "up_to_msg_id": "m11"},
        "answer": {"success": True, "rows_affected": 2},
    },
    "put_conversation": {
        "request": {"type": "group", "members": ["alice", "bob", "carol", "dan"]},
        "answer": {
            "success": True,
            "conversation_id": "team",
            "type": "group",
            "member_count": 4,
            "message_count": 0,
        },
    },
    "conversation": {
        "answer": {
            "success": True,
            "conversation_id": "team",
            "type": "group",
            "member_count": 4,
            "message_count": 0,
        }
    },
    "put_batch": {
        "request": {
            "conversations": [
                {"conversation_id": "pair", "type": "private", "members": ["alice", "bob"]},
                {"conversation_id": "team", "type": "private", "members": []},
            ]
        },
        "answer": {
            "success": True,
            "results": [
                {
                    "success": True,
                    "conversation_id": "pair",
                    "type": "private",
                    "member_count": 2,
                    "message_count": 0,
                },
                {
                    "success": False,
                    "error": "this conversation is registered as group",
                    "code": "conflict",
                },
            ],
        },
    },
    "change_members": {
        "request": {"add": ["eve"], "remove": ["dan"]},
        "answer": {
            "success": True,
            "conversation_id": "team",
            "type": "group",
            "member_count": 4,
            "message_count": 0,
        },
    },
    "members": {
        "answer": {"conversation_id": "team", "members": ["alice", "bob"], "next_cursor": "bob"}
    },
    "change_batch": {
        "request": {
            "changes": [
                {"conversation_id": "pair", "add": ["carol"]},
                {"conversation_id": "nowhere", "remove": ["bob"]},
            ]
        },
        "answer": {
            "success": True,
            "results": [
                {
                    "success": True,
                    "conversation_id": "pair",
                    "type": "private",
                    "member_count": 3,
                    "message_count": 0,
                },
                {
                    "success": False,
                    "error": "conversation_id is not a registered conversation",
                    "code": "not_found",
                },
            ],
        },
    },
    "register": {
        "request": {
            "msg_id": "m10",
            "conversation_id": "team",
            "sender_id": "alice",
            "sent_at": "2026-11-24T12:00:00Z",
        },
        "answer": {
            "success": True,
            "msg_id": "m10",
            "conversation_id": "team",
            "sender_id": "alice",
            "sent_at": "2026-11-24T12:00:00Z",
            "member_count": 3,
        },
    },
    "register_batch": {
        "request": {
            "messages": [
                {
                    "msg_id": "m11",
                    "conversation_id": "team",
                    "sender_id": "alice",
                    "sent_at": 1795521660,
                },
                {"msg_id": "m12", "conversation_id": "nowhere", "sender_id": "alice"},
            ]
        },
        "answer": {
            "success": True,
            "results": [
                {
                    "success": True,
                    "msg_id": "m11",
                    "conversation_id": "team",
                    "sender_id": "alice",
                    "sent_at": "2026-11-24T12:01:00Z",
                    "member_count": 3,
                },
                {
                    "success": False,
                    "error": "conversation_id is not a registered conversation",
                    "code": "not_found",
                },
            ],
        },
    },
    "receipts": {
        "answer": {
            "msg_id": "test-msg-123",
            "count": 1,
            "receipts": [
                {
                    "id": 1,
                    "msg_id": "test-msg-123",
                    "reader_id": "user456",
                    "sender_id": "user123",
                    "conversation_id": "conv789",
                    "conversation_type": "private",
                    "read_at": "2026-11-24T11:28:44Z",
                    "device_id": "",
                }
            ],
            "next_cursor": "1",
        }
    },
    "missed": {
        "answer": {
            "epoch": "8d4a05b273e4d059",
            "head": 2,
            "receipts": [
                {
                    "seq": 1,
                    "msg_id": "test-msg-123",
                    "reader_id": "user456",
                    "conversation_id": "conv789",
                    "read_at": "2026-11-24T11:28:44Z",
                    "device_id": "",
                }
            ],
            "next_after": 1,
        }
    },
    "unread_counts": {
        "answer": {
            "user_id": "carol",
            "count": 2,
            "conversations": [
                {"conversation_id": "team", "conversation_type": "group", "count": 2}
            ],
        }
    },
    "unread": {
        "answer": {
            "user_id": "carol",
            "messages": [
                {
                    "msg_id": "m10",
                    "conversation_id": "team",
                    "sender_id": "alice",
                    "sent_at": "2026-11-24T12:00:00Z",
                }
            ],
            "next_offset": 1,
        }
    },
    "devices": {
        "answer": {
            "user_id": "user123",
            "devices": [
                {
                    "device_id": "laptop",
                    "epoch": "8d4a05b273e4d059",
                    "seq": 2,
                    "last_seen": "2026-11-24T11:31:58Z",
                }
            ],
        }
    },
    "sign_off": {"answer": {"success": True}},
    "prefer": {
        "request": {"send_receipts": True, "conversation_id": "team"},
        "answer": {
            "user_id": "eve",
            "send_receipts": False,
            "conversations": [{"conversation_id": "team", "send_receipts": True}],
        },
    },
    "preferences": {
        "answer": {
            "user_id": "eve",
            "send_receipts": False,
            "conversations": [{"conversation_id": "team", "send_receipts": True}],
        }
    },
    "policy": {
        "answer": {
            "user_id": "eve",
            "conversation_id": "team",
            "send_receipts": True,
            "decided_by": "conversation",
            "counted_without_name": False,
            "sees_names": True,
            "why": [
                "Receipts are sent by name, as the user wishes for this conversation.",
                "The user is counted by name, so never without it.",
                "The user sees the names of others, hidden or not (SEENBY_RECIPROCAL is false).",
            ],
        }
    },
    "erase": {"answer": {"success": True}},
    "gateway": {"answer": {"url": "ws://127.0.0.1:8081/ws", "part": 6, "partitions": 16}},
    "overview": {
        "answer": {
            "at": "2026-11-24T20:49:24.995Z",
            "epoch": "3be33c603d09516e",
            "bus": True,
            "outbox": {"rows": 0, "oldest_seconds": 0.0},
            "rates": {
                "marks_per_second": 118.5,
                "published_per_second": 118.5,
                "deliveries_per_second": 118.5,
                "mark_to_push": {"count": 237, "p50_ms": 5.0, "p99_ms": 25.0},
                "mark_to_ack": {"count": 12, "p50_ms": 50.0, "p99_ms": 100.0},
            },
            "nodes": [
                {
                    "node": "chat-1",
                    "role": "gateway",
                    "version": "0.1.0",
                    "started_at": "2026-11-24T20:49:18.832Z",
                    "seen_at": "2026-11-24T20:49:24.940Z",
                    "lost": False,
                    "clock_ahead_ms": 1,
                    "connections": 2,
                    "users": 1,
                    "partitions": [6],
                    "lag": 0,
                    "bus": True,
                    "marks_per_second": 0.0,
                    "deliveries_per_second": 118.5,
                }
            ],
        }
    },
    "inspect_user": {
        "answer": {
            "user_id": "user123",
            "epoch": "3be33c603d09516e",
            "head": 2,
            "floor": 0,
            "partition": 6,
            "devices": [
                {
                    "device_id": "phone",
                    "seq": 2,
                    "behind": 0,
                    "last_seen_at": "2026-11-24T20:49:22.120Z",
                    "sessions": [
                        {
                            "node": "chat-1",
                            "connected_at": "2026-11-24T20:49:20.310Z",
                            "silent": False,
                            "state": "live",
                            "position": 2,
                            "pushed_at": "2026-11-24T20:49:21.983Z",
                            "acknowledged_at": "2026-11-24T20:49:22.010Z",
                        }
                    ],
                }
            ],
            "recent": [
                {
                    "seq": 2,
                    "type": "read_receipt",
                    "at": "2026-11-24T20:49:21.977Z",
                    "msg_id": "test-msg-123",
                    "reader_id": "user456",
                },
                {
                    "seq": 1,
                    "type": "read_self",
                    "at": "2026-11-24T20:49:19.001Z",
                    "msg_id": None,
                    "reader_id": None,
                },
            ],
            "missing": [],
        }
    },
    "inspect_message": {
        "answer": {
            "msg_id": "test-msg-123",
            "registered": None,
            "count": 1,
            "receipts": [
                {
                    "reader_id": "user456",
                    "sender_id": "user123",
                    "conversation_id": "conv789",
                    "recorded_at": "2026-11-24T20:49:21.977Z",
                    "seq": 2,
                    "published": {
                        "state": "published",
                        "at": "2026-11-24T20:49:21.980Z",
                        "since": None,
                        "by": None,
                    },
                    "devices": [
                        {
                            "device_id": "phone",
                            "state": "acknowledged",
                            "node": "chat-1",
                            "pushed": {"at": "2026-11-24T20:49:21.983Z", "exact": True},
                            "acknowledged": {"at": "2026-11-24T20:49:22.010Z", "exact": True},
                            "by_ping": False,
                            "behind": 0,
                            "last_seen_at": "2026-11-24T20:49:22.120Z",
                        }
                    ],
                }
            ],
            "next_cursor": None,
            "missing": [],
        }
    },
    "health": {"answer": {"status": "alive"}},
    "ready": {"answer": {"ready": True, "store": True, "bus": True}},
}
