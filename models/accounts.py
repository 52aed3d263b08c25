"""Accounts: the buyers, and the ways by which each signs in."""

import enum
import re

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.database import for_share, for_update
from models.instants import Instant
from models.unit_of_work import Work

LONGEST_EMAIL = 254
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f.]+(\.[^@\s\x00-\x1f.]+)*")
_REGION = re.compile(r"^[A-Z]{2}$")


class IdentityKind(enum.StrEnum):
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    VK = "VK"
    OK = "OK"
    GOOGLE = "GOOGLE"
    MAILRU = "MAILRU"
    PASSKEY = "PASSKEY"


class Level(enum.StrEnum):
    """How far an account is trusted; what may be done at each is told by `models.standing`."""

    GOOD = "GOOD"
    WARNED = "WARNED"
    RESTRICTED = "RESTRICTED"
    BLOCKED = "BLOCKED"
    CLOSED = "CLOSED"


class StandingReason(enum.StrEnum):
    MULTI_ACCOUNT = "MULTI_ACCOUNT"
    DISPUTE_ABUSE = "DISPUTE_ABUSE"
    COUPON_ABUSE = "COUPON_ABUSE"
    PAYMENT_FRAUD = "PAYMENT_FRAUD"
    SECURITY = "SECURITY"
    RULES = "RULES"
    LEGAL = "LEGAL"


class Account(Model):
    """A buyer. `external_id` is the platform's; `region` an ISO 3166 code, `currency` ISO 4217.

    What begins with `standing` repeats the newest row of `standing_change`, so that who asks and what they may do is known
    by one statement. At `standing_until` (the domain's) the level is GOOD again by itself.
    """

    id = fields.BigIntField(primary_key=True)
    external_id = fields.CharField(120, null=True, unique=True)
    display_name = fields.CharField(200)
    email = fields.CharField(254, null=True)
    phone = fields.CharField(20, null=True)
    language = fields.CharField(8)
    region = fields.CharField(2)
    currency = fields.CharField(3)
    standing_level = fields.CharEnumField(Level, max_length=10, db_default=Level.GOOD.value)
    standing_reason = fields.CharEnumField(StandingReason, max_length=20, null=True)
    standing_text = fields.TextField(null=True)
    standing_since = Instant(null=True)
    standing_until = Instant(null=True)
    created_at = Instant()

    class Meta:
        table = "account"


class Identity(Model):
    """One way of signing in. `subject`: the folded address, the E.164 number, the provider's own key, a passkey id's hash."""

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


def is_email(text: str) -> bool:
    """Whether this is written as an e-mail address is, in the one spelling that mail for it has, and its folded form can be kept."""
    address = text.strip()
    if max(len(text), len(fold_email(text))) > LONGEST_EMAIL or not _EMAIL.fullmatch(address) or not address.isprintable():
        return False
    domain = address.rpartition("@")[2]
    return domain.isascii() or _is_spelt_out(domain)


def _is_spelt_out(domain: str) -> bool:
    """Whether mail goes to the domain as it stands here. `gｍail.com` goes to gmail.com: a mailbox would have as many addresses
    as there are such letters, each with counters and an account of its own."""
    try:
        return domain.encode("idna").decode("idna") == domain.casefold()
    except UnicodeError:
        return False


def as_proved(subject: str, email: str | None) -> str:
    """Where mail to a proved address (an identity's subject) goes: as its owner wrote it, where that is the account's `email`."""
    return email if email and fold_email(email) == subject else subject


def is_region(text: str) -> bool:
    """Whether this is written as an ISO 3166 code is."""
    return _REGION.fullmatch(text) is not None


async def hold_account(work: Work, account_id: int) -> None:
    """Lock the account to the end of the unit: who holds it at the same time, or shares it, waits and then sees what was done."""
    await work.fetch("SELECT 1 FROM account WHERE id = $1" + for_update(), account_id)


async def share_account(work: Work, account_id: int) -> None:
    """Let nobody hold the account until the unit ends; others may share it."""
    await work.fetch("SELECT 1 FROM account WHERE id = $1" + for_share(), account_id)
