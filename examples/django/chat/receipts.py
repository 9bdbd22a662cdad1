"""What this chat and seenby say to each other: tokens, and one call."""

import json
import time
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jwt
from django.conf import settings

AWAY = (OSError, HTTPException)
"""No answer, or one that says "later": make the call again."""

FOR_GOOD = {400, 404, 409, 413, 422, 500}


class Refused(Exception):  # noqa: N818 -- it is what seenby did
    """The same call would be refused again."""


def token(**claims):
    """sub="bob" for Bob's clients; scope="service" for the chat itself. Holds for 15 minutes."""
    return jwt.encode(claims | {"exp": int(time.time()) + 900}, settings.CHAT_SECRET, "HS256")


def call(method, path, body=None):
    """One call in the name of the chat. Raises Refused, or one of AWAY."""
    request = Request(
        settings.CHAT_SEENBY + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {token(scope='service')}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urlopen(request, timeout=5) as answer:
            return json.load(answer)
    except HTTPError as error:
        if error.code in FOR_GOOD:
            why = error.read().decode(errors="replace")
            raise Refused(f"{method} {path}: {error.code}: {why}") from error
        raise
