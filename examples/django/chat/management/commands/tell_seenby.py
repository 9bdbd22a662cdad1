import random
import time

from django.core.management.base import BaseCommand

from chat.models import deliver

LONGEST = 30


class Command(BaseCommand):
    help = "Makes the calls that could not be made when they were due; runs for ever."

    def handle(self, **_):
        pause = 0.5
        while True:
            pause = 0.5 if deliver() else min(pause * 2, LONGEST)
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- no secret
