"""Accounts: the buyers, and the ways by which each signs in."""

import enum

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.instants import Instant


class IdentityKind(enum.StrEnum):
    EMAIL = "EMAIL"
    PHONE = "PHONE"


class Account(Model):
    """A buyer. `external_id` is the platform's; `region` an ISO 3166 code, `currency` ISO 4217."""

    id = fields.BigIntField(primary_key=True)
    external_id = fields.CharField(120, null=True, unique=True)
    display_name = fields.CharField(200)
    email = fields.CharField(254, null=True)
    phone = fields.CharField(20, null=True)
    language = fields.CharField(8)
    region = fields.CharField(2)
    currency = fields.CharField(3)
    created_at = Instant()

    class Meta:
        table = "account"


class Identity(Model):
    """One way of signing in; `subject` is the folded address, the E.164 number or the provider's own key."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.RESTRICT)
    account_id: int
    kind = fields.CharEnumField(IdentityKind, max_length=10)
    subject = fields.CharField(254)
    verified_at = Instant(null=True)

    class Meta:
        table = "identity"
        unique_together = (("kind", "subject"),)
        indexes = (Index(fields=("account_id",)),)


class Password(Model):
    """The Argon2id hash of an account's password; no row where none was set."""

    account: fields.OneToOneRelation[Account] = fields.OneToOneField(
        "models.Account", primary_key=True, on_delete=fields.RESTRICT
    )
    account_id: int
    hash = fields.CharField(200)
    changed_at = Instant()

    class Meta:
        table = "password"


def fold_email(address: str) -> str:
    """The form of an address that is compared: trimmed, case-folded."""
    return address.strip().casefold()
