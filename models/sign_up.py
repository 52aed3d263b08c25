"""Signing up: what is kept until the owner of the address has proved it, and what they agreed to."""

from datetime import timedelta

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.instants import Instant

ACTIVATION_LASTS = timedelta(hours=24)


class SignUp(Model):
    """A sign-up that waits for its link to be followed; only then there is an account. Instants are the machine's.

    Whoever follows the link gets what this sign-up says; all others for the same address are void then. The password
    counts only in the browser that typed it (`browser_hash`). A sign-up for an address that has an account ends as it
    begins: it is written so that the answer takes as long.
    """

    id = fields.BigIntField(primary_key=True)
    token_hash = fields.CharField(64, unique=True)
    browser_hash = fields.CharField(64)
    subject = fields.CharField(254)  # the folded address
    email = fields.CharField(254)
    display_name = fields.CharField(200)
    password_hash = fields.CharField(200)
    terms_version = fields.CharField(40)
    language = fields.CharField(8)
    region = fields.CharField(2)
    currency = fields.CharField(3)
    created_at = Instant()  # when the terms were accepted, too
    ends_at = Instant()

    class Meta:
        table = "sign_up"
        indexes = (Index(fields=("subject",)), Index(fields=("ends_at",)))


class TermsAcceptance(Model):
    """The buyer has agreed to a version of the terms. Kept as long as the account."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.RESTRICT)
    account_id: int
    version = fields.CharField(40)
    accepted_at = Instant()

    class Meta:
        table = "terms_acceptance"
        unique_together = (("account_id", "version"),)
