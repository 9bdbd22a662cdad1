from threading import Event

from django.conf import settings
from django.core.management.base import BaseCommand

from chat import receipts
from seenby.client import Connected, Pushed
from seenby.client.sync import Client


class Command(BaseCommand):
    help = "Says who has read messages of a user since it was last asked."

    def add_arguments(self, parser):
        parser.add_argument("user")

    def handle(self, user, **_):
        connected = Event()
        with Client(
            user_id=user,
            # seenby keeps the position of this device, so nothing is said twice or left out.
            device_id="django",
            token=lambda: receipts.token(sub=user),
            api=settings.CHAT_SEENBY,
        ) as client:
            stream = client.receipts(
                notice=lambda what: isinstance(what, Connected) and connected.set()
            )
            while True:
                is_connected = connected.is_set()
                try:
                    item = stream.get(timeout=2)
                except TimeoutError:
                    if is_connected:
                        break  # What there was came at once.
                    continue
                if isinstance(item, Pushed):
                    self.stdout.write(f"{item.reader_id} has read message {item.msg_id}")
