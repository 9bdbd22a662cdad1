"""Operations of the chat's backend: it registers conversations and messages, and erases people."""

from __future__ import annotations

from seenby.api import forms, shapes
from seenby.api.descriptions.operation import CONVERSATION, CURSOR, LIMIT, SERVICE, USER, Operation
from seenby.errors import BadInput, Conflict, Forbidden, NotFound, StoreUnavailable
from seenby.model import USER_ID_MAX

_NOBODY_OR_ID = {"type": "string", "maxLength": USER_ID_MAX, "pattern": "^[!-~]*$"}

BACKEND: tuple[Operation, ...] = (
    Operation(
        "put",
        CONVERSATION,
        "put_conversation",
        "Conversations",
        "Make a conversation, or change its members",
        (shapes.Conversation,),
        f"Afterwards these are its members and nobody else. {SERVICE}",
        body=forms.ConversationForm,
        body_max=1024,
        refusals=(BadInput, Forbidden, Conflict, StoreUnavailable),
    ),
    Operation(
        "get",
        CONVERSATION,
        "conversation",
        "Conversations",
        "Look at a conversation",
        (shapes.Conversation,),
        SERVICE,
        refusals=(BadInput, Forbidden, NotFound, StoreUnavailable),
    ),
    Operation(
        "post",
        "/api/v1/conversations/batch",
        "put_batch",
        "Conversations",
        "Make or change up to 1000 conversations",
        (shapes.results_of("Conversation"),),
        SERVICE,
        body=forms.ConversationBatch,
        body_max=1024,
        refusals=(BadInput, Forbidden, StoreUnavailable),
    ),
    Operation(
        "post",
        f"{CONVERSATION}/members",
        "change_members",
        "Conversations",
        "Let members come and go",
        (shapes.Conversation,),
        f"Who is there already stays, and who is not there has left already. {SERVICE}",
        body=forms.MembersForm,
        body_max=1024,
        refusals=(BadInput, Forbidden, NotFound, StoreUnavailable),
    ),
    Operation(
        "get",
        f"{CONVERSATION}/members",
        "members",
        "Conversations",
        "List the members of a conversation",
        (shapes.Members,),
        f"In the order of the ids. {SERVICE}",
        (LIMIT, CURSOR._replace(schema=_NOBODY_OR_ID)),
        refusals=(BadInput, Forbidden, NotFound, StoreUnavailable),
    ),
    Operation(
        "post",
        "/api/v1/conversations/members/batch",
        "change_batch",
        "Conversations",
        "Let members of up to 1000 conversations come and go",
        (shapes.results_of("Conversation"),),
        SERVICE,
        body=forms.MembersBatch,
        body_max=1024,
        refusals=(BadInput, Forbidden, StoreUnavailable),
    ),
    Operation(
        "post",
        "/api/v1/messages",
        "register",
        "Messages",
        "Register a message",
        (shapes.Message,),
        "When it is sent or soon after. `member_count` is to how many it was sent: whoever is a "
        f"member now, but its sender. {SERVICE}",
        body=forms.MessageForm,
        refusals=(BadInput, Forbidden, NotFound, Conflict, StoreUnavailable),
    ),
    Operation(
        "post",
        "/api/v1/messages/batch",
        "register_batch",
        "Messages",
        "Register up to 1000 messages",
        (shapes.results_of("Message"),),
        SERVICE,
        body=forms.MessageBatch,
        body_max=1024,
        refusals=(BadInput, Forbidden, StoreUnavailable),
    ),
    Operation(
        "delete",
        USER,
        "erase",
        "Users",
        "Erase a person",
        (shapes.Done,),
        "Receipts, stream, devices, settings, memberships, and the name in others' streams. "
        f"Answered when nothing is left. {SERVICE}",
        refusals=(BadInput, Forbidden, StoreUnavailable),
    ),
)
