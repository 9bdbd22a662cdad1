"""What others need for the same, measured by us in 2026 on the same kind of machine.

Two cores with everything on them, as here; the machine's speed drifts by half, so these say where
others stand and not by how many per cent.
"""

from __future__ import annotations

HEADS = ("who", "what", "theirs", "ours (row)")

PEERS: tuple[tuple[str, str, str, str, str], ...] = (
    # who, what, theirs, our row, our figure or what stands beside it
    ("the original's Go service", "marks/s, 100 connections", "2,300 to 3,300", "marks", ""),
    (
        "the original's Go service",
        "CPU per mark, service + MariaDB + Kafka",
        "565 to 880 us",
        "mark-cpu",
        "API + MariaDB + Kafka",
    ),
    ("Tinode, one read note: weaker than a mark", "notes/s", "3,700", "marks", ""),
    (
        "Tinode, one read note: weaker than a mark",
        "CPU, server + MariaDB",
        "443 us (194 + 249)",
        "mark-cpu",
        "API + MariaDB + Kafka",
    ),
    (
        "Centrifugo v6",
        "Kafka to sockets, CPU per delivery",
        "4.6 times the C loop (29 to 33 us), with history 5.6 (35 to 41)",
        "gateway-cpu",
        "from a backlog",
    ),
    (
        "Centrifugo v6",
        "the same, ours live",
        "4.6 times the C loop",
        "gateway-cpu",
        "live",
    ),
    (
        "Centrifugo v6",
        "the same, 3 devices per event",
        "2.1 times the C loop (13 us)",
        "three-devices",
        "from a backlog",
    ),
    (
        "Centrifugo v6",
        "the same, ours live",
        "2.1 times the C loop",
        "three-devices",
        "live",
    ),
    ("Centrifugo v6", "memory per idle connection", "49 KB", "memory", ""),
    ("Centrifugo v6", "CPU per idle connection and second", "8 us", "idle-cpu", ""),
    ("Centrifugo v6", "Kafka to client at 1,000 events/s, p50", "0.75 ms", "kafka-latency", "p50"),
    ("Centrifugo v6", "Kafka to client at 1,000 events/s, p99", "6 ms", "kafka-latency", "p99"),
    (
        "Centrifugo v6",
        "CPU per event at 1,000 events/s",
        "370 us",
        "kafka-latency",
        "gateway CPU per event",
    ),
    (
        "Centrifugo v6",
        "5,000 clients reconnect and catch up 20 each",
        "0.7 s (from memory)",
        "reconnect",
        "all served",
    ),
)
