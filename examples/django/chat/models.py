import logging
from urllib.parse import quote

from django.db import models, transaction

from chat import receipts

log = logging.getLogger(__name__)


class Group(models.Model):
    id = models.CharField(primary_key=True, max_length=64)

    @classmethod
    @transaction.atomic
    def make(cls, group_id, user_ids):
        group = cls.objects.create(id=group_id)
        for user_id in user_ids:
            group.member_set.create(user_id=user_id)
        Call.add("PUT", group.path, {"type": "group", "members": sorted(user_ids)})
        return group

    @transaction.atomic
    def change(self, add, remove):
        for user_id in add:
            self.member_set.get_or_create(user_id=user_id)
        self.member_set.filter(user_id__in=remove).delete()
        Call.add("POST", f"{self.path}/members", {"add": add, "remove": remove})

    @transaction.atomic
    def send(self, sender, text):
        message = self.message_set.create(sender=sender, text=text)
        body = {"msg_id": str(message.pk), "conversation_id": self.pk, "sender_id": sender}
        Call.add("POST", "/api/v1/messages", body)
        return message

    @property
    def path(self):
        return f"/api/v1/conversations/{quote(self.pk, safe='')}"


class Member(models.Model):
    group = models.ForeignKey(Group, on_delete=models.CASCADE)
    user_id = models.CharField(max_length=64)

    class Meta:
        unique_together = ["group", "user_id"]


class Message(models.Model):
    group = models.ForeignKey(Group, on_delete=models.CASCADE)
    sender = models.CharField(max_length=64)
    text = models.TextField()


class Call(models.Model):
    """The outbox: a call that is still to be made."""

    method = models.CharField(max_length=8)
    path = models.CharField(max_length=500)
    body = models.JSONField()

    @classmethod
    def add(cls, method, path, body):
        """Within the transaction whose change is told; it is made as soon as that is committed."""
        cls.objects.create(method=method, path=path, body=body)
        transaction.on_commit(deliver)


def deliver():
    """Make the calls that wait, in their order. False: seenby is away, so do it again later."""
    while True:
        with transaction.atomic():
            # Who else delivers at this moment waits for the row; with SQLite, for the transaction.
            call = Call.objects.select_for_update().order_by("pk").first()
            if call is None:
                return True
            try:
                receipts.call(call.method, call.path, call.body)
            except receipts.Refused as why:
                log.error("%s", why)  # noqa: TRY400 -- the reason is all there is to know
            except receipts.AWAY as why:
                log.warning("seenby is away: %s", why)
                return False
            call.delete()
