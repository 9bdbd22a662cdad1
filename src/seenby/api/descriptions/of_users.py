"""Operations of users and their devices: marks, reading back, and what a user wishes."""

from __future__ import annotations

from seenby import inputs
from seenby.api import forms, schemas, shapes
from seenby.api.descriptions.operation import (
    CURSOR,
    LIMIT,
    OF_USER,
    USER,
    WRITING,
    Operation,
    Parameter,
)
from seenby.chat import Policy
from seenby.errors import (
    BadInput,
    Conflict,
    Forbidden,
    Mismatch,
    NotFound,
    Overloaded,
    OwnMessage,
    PositionLost,
    Refused,
    StoreUnavailable,
    TooLate,
)
from seenby.events import TRACEPARENT

_TRACE = Parameter(
    TRACEPARENT,
    "Followed to the push (W3C Trace Context); without one the mark gets a trace id of its own.",
    {"type": "string"},
    within="header",
)
_IN_CONVERSATION = Parameter("conversation_id", "Of this conversation only.", inputs.ConversationId)


USERS: tuple[Operation, ...] = (
    Operation(
        "post",
        "/api/v1/messages/read",
        "mark",
        "Marks",
        "Mark a message as read",
        (shapes.Recorded,),
        "Answered after a durable commit. The first read wins: a repeat, from any device, is "
        "answered with the first receipt.",
        (_TRACE,),
        inputs.MarkFields,
        refusals=(
            BadInput,
            Forbidden,
            NotFound,
            Conflict,
            OwnMessage,
            Mismatch,
            Overloaded,
            *WRITING,
        ),
    ),
    Operation(
        "post",
        "/api/v1/messages/read/batch",
        "mark_batch",
        "Marks",
        "Mark up to 1000 messages as read",
        (shapes.results_of("Recorded"),),
        "Each mark is accepted or refused on its own; a refusal of the whole request means that "
        "nothing of it was recorded.",
        (_TRACE,),
        inputs.MarkBatch,
        1024,
        (BadInput, Overloaded, *WRITING),
        stored=False,
    ),
    Operation(
        "delete",
        "/api/v1/messages/read",
        "withdraw",
        "Marks",
        "Mark a message as unread",
        (shapes.Recorded,),
        "Takes a receipt back, within `SEENBY_UNREAD_WINDOW` hours. The receipt is the one that is "
        "gone.",
        body=forms.Withdrawal,
        refusals=(BadInput, Forbidden, NotFound, TooLate, *WRITING),
    ),
    Operation(
        "post",
        "/api/v1/conversations/read",
        "read_conversation",
        "Marks",
        "Mark a whole conversation as read",
        (shapes.ReadMessages,),
        "Up to a message, or all of it. It goes in steps, each a transaction of its own; after a "
        "503 the same call does the rest.",
        body=forms.ReadAll,
        refusals=(BadInput, Forbidden, NotFound, *WRITING),
    ),
    Operation(
        "get",
        "/api/v1/messages/receipts",
        "receipts",
        "Reading back",
        "Ask who has read a message, or who has not",
        (shapes.Receipts, shapes.ReceiptsOfSeveral, shapes.NotRead),
        "With `msg_id` given more than once the answer is a list; with `unread=true` it says who "
        "has not read.",
        (
            Parameter(
                "msg_id",
                "The message. May be repeated.",
                list[inputs.MsgId],
                required=True,
            ),
            LIMIT,
            CURSOR._replace(
                description="The `next_cursor` of the page before; with one `msg_id` only. With "
                "`unread=true` a user's id, else a number."
            ),
            Parameter(
                "unread",
                "Ask who has not read it, with one `msg_id` that is registered.",
                {"type": "boolean", "default": False},
            ),
            Parameter(
                "user_id",
                "For a service: show what this user would be shown; without, everything.",
                inputs.UserId,
            ),
        ),
        refusals=(BadInput, Forbidden, NotFound, StoreUnavailable),
    ),
    Operation(
        "get",
        f"{USER}/receipts",
        "missed",
        "Reading back",
        "Read a stream after a position",
        (shapes.Stream,),
        "What a client loads after a reset, or instead of a socket. A position that cannot be "
        "served whole is answered 410, with the one from which to go on.",
        (
            Parameter(
                "after",
                "The last seq that the caller has; without it the page begins at the oldest event "
                "kept.",
                {"type": "integer", "minimum": 0, "maximum": schemas.NUMBER_MAX},
            ),
            Parameter("epoch", "The epoch of that seq; needed with `after`.", {"type": "string"}),
            LIMIT,
        ),
        refusals=(BadInput, Forbidden, PositionLost, StoreUnavailable),
    ),
    Operation(
        "get",
        "/api/v1/messages/unread/count",
        "unread_counts",
        "Reading back",
        "Count what a user has not read",
        (shapes.UnreadCounts,),
        "In total and by conversation. Only registered messages count.",
        (OF_USER,),
        refusals=(BadInput, Forbidden, StoreUnavailable),
    ),
    Operation(
        "get",
        "/api/v1/messages/unread",
        "unread",
        "Reading back",
        "List what a user has not read",
        (shapes.Unread,),
        "The oldest first, each conversation in the order in which its messages were registered.",
        (
            OF_USER,
            _IN_CONVERSATION,
            LIMIT,
            Parameter(
                "offset",
                "The `next_offset` of the page before.",
                {"type": "integer", "minimum": 0, "maximum": schemas.OFFSET_MAX, "default": 0},
            ),
        ),
        refusals=(BadInput, Forbidden, StoreUnavailable),
    ),
    Operation(
        "get",
        f"{USER}/devices",
        "devices",
        "Users",
        "List a user's devices",
        (shapes.Devices,),
        refusals=(BadInput, Forbidden, StoreUnavailable),
    ),
    Operation(
        "delete",
        f"{USER}/devices/{{device_id}}",
        "sign_off",
        "Users",
        "Forget a device that was signed off",
        (shapes.Done,),
        refusals=(BadInput, Forbidden, NotFound, StoreUnavailable),
    ),
    Operation(
        "put",
        f"{USER}/settings",
        "prefer",
        "Users",
        "Say whether senders are told a user's name",
        (shapes.Preferences,),
        "In one conversation, or in general. It holds for marks from then on.",
        body=forms.Wish,
        refusals=(BadInput, Refused, Forbidden, StoreUnavailable),
    ),
    Operation(
        "get",
        f"{USER}/settings",
        "preferences",
        "Users",
        "Read what a user wishes",
        (shapes.Preferences,),
        refusals=(BadInput, Forbidden, StoreUnavailable),
    ),
    Operation(
        "get",
        f"{USER}/policy",
        "policy",
        "Users",
        "Ask what applies to a user's receipts, and why",
        (Policy,),
        "In general, or in a conversation.",
        (_IN_CONVERSATION._replace(description="In this conversation."),),
        refusals=(BadInput, Forbidden, StoreUnavailable),
    ),
    Operation(
        "get",
        "/api/v1/gateway",
        "gateway",
        "Users",
        "Ask where a user connects",
        (shapes.Gateway,),
        parameters=(OF_USER,),
        refusals=(BadInput, Forbidden),
        stored=False,
    ),
)
