"""Contacts that the platform gives, beside what buyers make of them themselves."""

from collections.abc import Sequence
from typing import NamedTuple

from tortoise import fields
from tortoise.models import Model

from models.accounts import Account, IdentityKind, fold_email
from models.sign_in_methods import Method


class GivenContacts(Model):
    """What the platform has sent last for an account, word for word: whatever differs from it, the buyer has changed."""

    account: fields.OneToOneRelation[Account] = fields.OneToOneField("models.Account", primary_key=True, on_delete=fields.CASCADE)
    account_id: int
    email = fields.CharField(254, null=True)
    phone = fields.CharField(20, null=True)

    class Meta:
        table = "given_contacts"


class Contacts(NamedTuple):
    """An address and a number as they are written."""

    email: str | None = None
    phone: str | None = None

    def subjects(self) -> dict[IdentityKind, str]:
        """What signs in by them."""
        found = {IdentityKind.EMAIL: fold_email(self.email or ""), IdentityKind.PHONE: self.phone or ""}
        return {kind: subject for kind, subject in found.items() if subject}


def settable(sent: Contacts, given: Contacts, methods: Sequence[Method]) -> frozenset[IdentityKind]:
    """The contacts that the platform's word sets: those that are as it has `sent` them before.

    One that the buyer has linked, changed or taken away stays so. Where `given` would take the last usable way in away,
    what it leaves out stays too.
    """
    held = {method.kind: method.subject for method in methods}
    before, after = sent.subjects(), given.subjects()
    own = frozenset(kind for kind in (IdentityKind.EMAIL, IdentityKind.PHONE) if held.get(kind) == before.get(kind))
    gone = frozenset(kind for kind in own if kind in held and kind not in after)
    lost = any(method.usable for method in methods if method.kind in gone)
    left = any(method.usable for method in methods if method.kind not in gone)
    return own - gone if lost and not left and not (IdentityKind.PHONE in after and IdentityKind.PHONE in own) else own
