"""Changes of an account's e-mail address that wait for a mail's link to be followed."""

from datetime import timedelta

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.instants import Instant

LINK_LASTS = timedelta(hours=1)


class EmailChange(Model):
    """The address that a buyer wants, until they have proved it: one at most, the one asked for last. Instants are the machine's.

    Where somebody has proved the address for another account it is written all the same, and no link is told: the buyer
    who asks sees no difference.
    """

    account: fields.OneToOneRelation[Account] = fields.OneToOneField("models.Account", primary_key=True, on_delete=fields.CASCADE)
    account_id: int
    token_hash = fields.CharField(64, unique=True)
    email = fields.CharField(254)
    subject = fields.CharField(254)  # the folded address
    asked_at = Instant()
    ends_at = Instant()

    class Meta:
        table = "email_change"
        indexes = (Index(fields=("subject",)), Index(fields=("ends_at",)))
