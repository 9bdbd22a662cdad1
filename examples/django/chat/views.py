import json

from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.http import urlencode
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from chat import receipts
from chat.models import Group


def user_of(request):
    """Stands for request.user, and for whatever signs your users in."""
    return request.headers["X-User"]


def group_of(request, group_id):
    """The group, for one who is in it; for others there is none."""
    return get_object_or_404(Group, pk=group_id, member__user_id=user_of(request))


@csrf_exempt
@require_POST
def groups(request):
    asked = json.loads(request.body)
    group = Group.make(asked["id"], {*asked["members"], user_of(request)})
    return JsonResponse({"id": group.pk, "members": group.member_set.count()})


@csrf_exempt
@require_POST
def members(request, group_id):
    group = group_of(request, group_id)
    asked = json.loads(request.body)
    group.change(asked.get("add", []), asked.get("remove", []))
    return JsonResponse({"id": group.pk, "members": group.member_set.count()})


@csrf_exempt
@require_http_methods(["GET", "POST"])
def messages(request, group_id):
    group, user = group_of(request, group_id), user_of(request)
    if request.method == "POST":
        # When this returns, seenby has been told; now deliver the message to the members.
        message = group.send(user, json.loads(request.body)["text"])
        return JsonResponse({"id": message.pk, "sender": user, "text": message.text})
    shown = list(group.message_set.order_by("pk"))
    counts = counted([message for message in shown if message.sender == user], user)
    found = [
        {"id": message.pk, "sender": message.sender, "text": message.text}
        | counts.get(str(message.pk), {})
        for message in shown
    ]
    return JsonResponse(found, safe=False)


def counted(own, user):
    """How many have read the last hundred of one's own messages, by id."""
    ids = [("msg_id", message.pk) for message in own[-100:]]
    if not ids:
        return {}
    query = urlencode([*ids, ("limit", 1), ("user_id", user)])
    try:
        answer = receipts.call("GET", f"/api/v1/messages/receipts?{query}")
    except receipts.AWAY:
        # Without seenby there are no counts, but there are messages.
        return {}
    return {
        each["msg_id"]: {"read": each["count"], "of": each["member_count"]}
        for each in answer.get("messages", [answer])
        if "member_count" in each
    }


def token(request):
    return JsonResponse({"token": receipts.token(sub=user_of(request))})
