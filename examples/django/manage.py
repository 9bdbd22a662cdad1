"""The whole project: what your settings.py and urls.py get, and what every project has."""

import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import path

settings.configure(
    # For your settings: where seenby is, and the secret that it shares with this project.
    CHAT_SEENBY=os.environ.get("CHAT_SEENBY", "http://localhost:8080"),
    CHAT_SECRET=Path(os.environ["SEENBY_JWT_SECRET_FILE"]).read_text(encoding="utf-8").strip(),
    # What every project has.
    ALLOWED_HOSTS=["localhost"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "chat.db",
            # Who else delivers waits, instead of "database is locked" for one of the two.
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 60},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["chat"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example",
)
django.setup()

from chat import views  # noqa: E402 -- models need the settings

urlpatterns = [
    path("groups", views.groups),
    path("groups/<str:group_id>/members", views.members),
    path("groups/<str:group_id>/messages", views.messages),
    path("token", views.token),
]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
