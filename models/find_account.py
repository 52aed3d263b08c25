"""Searches for an account by the number of an order or a parcel, which wait for the worker."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import IdentityKind
from models.instants import Instant
from models.sign_in_methods import masked

LONGEST_NUMBER = 120


class AccountSearch(Model):
    """A number that somebody has asked about; gone once the worker has looked, so that the asking takes no longer where it
    is known. `asked_at` is the machine's."""

    id = fields.BigIntField(primary_key=True)
    number = fields.CharField(LONGEST_NUMBER)
    asked_at = Instant()

    class Meta:
        table = "account_search"
        indexes = (Index(fields=("asked_at",)),)


def spellings(number: str) -> list[str]:
    """How a number that somebody types may stand on file: with and without its sign, as typed, folded as orders keep it,
    and in capitals as carriers write it."""
    written = (number.strip(), number.strip().lstrip("#№ "))
    return sorted({way for text in written for way in (text, text.casefold(), text.upper()) if way})


def told_ways(identities: list[tuple[IdentityKind, str]]) -> str:
    """Ways of signing in as a letter is given them: a line each, the kind and the subject in part."""
    return "\n".join(f"{kind.value} {masked(kind, subject) or ''}".strip() for kind, subject in identities)
