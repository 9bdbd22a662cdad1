"""Where a client stands in its stream: no I/O, only the rules of section 3 of the contract.

- ``received`` is the last event that came over the socket, of whatever kind. The next hello says
  it, and what is not after it is a repeat and dropped.
- ``handled`` is the last one that the application is done with: what an application that keeps
  its own position stores, and what the device acknowledges. It never moves past ``received``,
  and back only by a reset.
- A client without device and position that has got nothing yet stands at the head of its first
  welcome, so that what comes while it is away is not lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seenby.client.frames import BatchFrame, EventFrame, Reset, ResetFrame, Welcome
from seenby.model import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.client.frames import Frame, Item


class Cursor:
    """The place of one client in the stream of its user.

    Args:
        device: the client has a device_id, so the gateway knows where it stands.
    """

    def __init__(self, *, device: bool) -> None:
        self._device = device
        self._epoch = ""
        self._welcomed_at: Position | None = None
        self._acknowledged: Position | None = None
        self.received: Position | None = None
        self.handled: Position | None = None

    def begin(self, position: Position | None) -> None:
        """A stream is opened at *position*, else where the application stands.

        What was received before, and is not handled, comes again.
        """
        if position is not None:
            self.handled = position
            self._acknowledged = None
        self.received = self.handled

    @property
    def said(self) -> Position | None:
        """The position for the next hello; None leaves it to the gateway."""
        return self.received or self._welcomed_at

    def take(self, frame: Frame) -> Iterator[Item]:
        """What a frame holds that is news for the application."""
        match frame:
            case Welcome():
                self._epoch = frame.epoch
                if self.said is None and not self._device:
                    self._welcomed_at = Position(frame.epoch, frame.seq)
            case _ if isinstance(frame, EventFrame):
                if self._is_news(frame):
                    yield frame.pushed(self._epoch)
            case BatchFrame():
                for receipt in frame.receipts:
                    yield from self.take(receipt)
            case ResetFrame():
                self._epoch = frame.epoch
                self.received = Position(frame.epoch, frame.seq)
                yield Reset(frame.epoch, frame.seq)

    def _is_news(self, frame: EventFrame) -> bool:
        if not frame.seq:
            return True
        last = self.received
        if last is not None and last.epoch == self._epoch and frame.seq <= last.seq:
            return False
        self.received = Position(self._epoch, frame.seq)
        return True

    def handle(self, item: Item) -> bool:
        """The application is done with *item*; returns whether that moves it on."""
        position = item.position
        if position is None:
            return False
        if not isinstance(item, Reset) and not self._moves_on(position):
            return False
        self.handled = self._acknowledged = position
        return True

    def _moves_on(self, position: Position) -> bool:
        now, last = self.handled, self.received
        if now is not None and position.epoch == now.epoch and position.seq <= now.seq:
            return False
        if last is not None and position.epoch == last.epoch:
            return position.seq <= last.seq
        # An item from before a new epoch: of use only until the reset has been handled.
        return now is None or now.epoch == position.epoch

    def to_acknowledge(self, sent: int) -> int | None:
        """The seq to acknowledge on a connection on which *sent* was acknowledged last."""
        position = self._acknowledged
        if position is None or position.epoch != self._epoch or position.seq <= sent:
            return None
        return position.seq if self._device else None
