"""Codes by SMS: what is kept of one, and what it is good for."""

import enum
from datetime import timedelta

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.instants import Instant

CODE_LASTS = timedelta(minutes=5)
MOST_TRIES = 5


class CodePurpose(enum.StrEnum):
    SIGN_UP = "SIGN_UP"
    SIGN_IN = "SIGN_IN"
    LINK = "LINK"


class PhoneCode(Model):
    """A code on its way to a number (E.164), good for the one who asked for it: they alone know the challenge.

    Of the challenge only the SHA-256 is kept, and of the code only its HMAC under the challenge. `account` is whose
    number it is to become, for LINK alone. Times are the machine's.
    """

    id = fields.BigIntField(primary_key=True)
    challenge_hash = fields.CharField(64, unique=True)
    code_hmac = fields.CharField(64)
    phone = fields.CharField(20)
    purpose = fields.CharEnumField(CodePurpose, max_length=10)
    account: fields.ForeignKeyNullableRelation[Account] = fields.ForeignKeyField(
        "models.Account", null=True, on_delete=fields.CASCADE
    )
    account_id: int | None
    created_at = Instant()
    ends_at = Instant()
    tries = fields.IntField(default=0)
    used_at = Instant(null=True)

    class Meta:
        table = "phone_code"
        indexes = (Index(fields=("account_id",)), Index(fields=("ends_at",)))
