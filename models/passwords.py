"""Forgotten passwords: links that set a new one."""

from datetime import timedelta

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.instants import Instant

RESET_LASTS = timedelta(hours=1)


class PasswordReset(Model):
    """A link that sets a new password, once, as long as the address that it was mailed to is the account's: `identity_id`.

    Instants are the machine's. Without an account where nobody has the address: it is written so that the answer takes as long, and sets nothing.
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyNullableRelation[Account] = fields.ForeignKeyField(
        "models.Account", null=True, on_delete=fields.CASCADE
    )
    account_id: int | None
    identity_id = fields.BigIntField(null=True)
    token_hash = fields.CharField(64, unique=True)
    ends_at = Instant()

    class Meta:
        table = "password_reset"
        indexes = (Index(fields=("account_id",)), Index(fields=("ends_at",)))
