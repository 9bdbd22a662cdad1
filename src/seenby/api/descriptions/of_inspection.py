"""Operations of the operators' page: they read, and change nothing."""

from __future__ import annotations

from seenby.api import sights
from seenby.api.descriptions.operation import CURSOR, SERVICE, Operation, Parameter
from seenby.errors import BadInput, Forbidden, StoreUnavailable, Unauthenticated
from seenby.nodes import Told

_READING = (Forbidden, StoreUnavailable)

INSPECTION: tuple[Operation, ...] = (
    Operation(
        "get",
        "/api/v1/inspect/overview",
        "overview",
        "Inspection",
        "See all processes at a glance",
        (sights.Overview,),
        f"What runs, what is still to be published, and how fast it goes. {SERVICE}",
        refusals=_READING,
    ),
    Operation(
        "get",
        "/api/v1/inspect/users/{user_id}",
        "inspect_user",
        "Inspection",
        "See a user's stream and devices",
        (sights.UserSight,),
        f"How far each device is, and where it is connected. {SERVICE}",
        refusals=(BadInput, *_READING),
    ),
    Operation(
        "get",
        "/api/v1/inspect/messages/{msg_id}",
        "inspect_message",
        "Inspection",
        "Find out where the receipts of a message are",
        (sights.MessageSight,),
        "For each receipt: when it was recorded, published, pushed to which device, and"
        f" acknowledged. {SERVICE}",
        (CURSOR,),
        refusals=(BadInput, *_READING),
    ),
    Operation(
        "get",
        "/inspect/node",
        "node",
        "Inspection",
        "Ask one process what only it knows",
        (Told,),
        "For other processes of seenby: no user's or service's token opens it.",
        (
            Parameter("user_id", "Whose sessions.", {"type": "string"}),
            Parameter("at", "Of which commits.", {"type": "string"}),
        ),
        refusals=(BadInput, Unauthenticated),
        stored=False,
        public=True,
    ),
)
