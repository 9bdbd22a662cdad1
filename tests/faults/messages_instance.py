"""An instance that registers the chat's messages, and dies before it can commit their offsets.

Started by test_bus_messages.py: ``python -m tests.faults.messages_instance BROKERS TOPIC FILE``.
What was registered stands in FILE, as if it were the database.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seenby.bus.kafka_messages import GroupMessages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.model import NewMessage


def write_and_die(messages: list[NewMessage], database: Path) -> None:
    """As if the power went after the commit in SQL."""
    database.write_text("\n".join(message.msg_id for message in messages), encoding="utf-8")
    os.kill(os.getpid(), signal.SIGKILL)


async def run(brokers: str, topic: str, database: Path) -> None:
    """Register one batch; what comes after is not carried out."""

    async def register(messages: list[NewMessage]) -> Sequence[object]:
        write_and_die(messages, database)
        return messages

    GroupMessages(brokers, topic, f"{topic}-group", "dying", register).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
