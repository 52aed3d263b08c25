"""Sessions of buyers, tokens of staff, and the counters that slow guessing down."""

from datetime import datetime, timedelta

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.columns import dump_json, load_json
from models.instants import Instant

STAFF_PREFIX = "kst_"
LIVE_SESSIONS = 50
TOUCH_EVERY = timedelta(minutes=5)
SCOPES = (
    "accounts",
    "catalog",
    "clock",
    "coupons",
    "favorites",
    "messages",
    "orders",
    "prices",
)


class Session(Model):
    """A sign-in that lasts. Only the SHA-256 of its token is kept; instants are the machine's."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.CASCADE)
    account_id: int
    token_hash = fields.CharField(64, unique=True)
    created_at = Instant()
    used_at = Instant()
    ends_at = Instant()
    revoked_at = Instant(null=True)
    address = fields.CharField(45)
    agent = fields.CharField(200)

    class Meta:
        table = "session"
        indexes = (Index(fields=("account_id", "created_at")),)


class KnownDevice(Model):
    """A browser that has signed in to the account before; guesses made elsewhere do not make it wait. `at` is the
    machine's."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.CASCADE)
    account_id: int
    token_hash = fields.CharField(64, unique=True)
    at = Instant()

    class Meta:
        table = "known_device"
        indexes = (Index(fields=("account_id",)),)


class StaffToken(Model):
    """A service or an operator that feeds and runs the shop; `scopes` is a JSON list of names."""

    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(100)
    token_hash = fields.CharField(64, unique=True)
    scopes = fields.JSONField(encoder=dump_json, decoder=load_json)
    created_at = Instant()
    revoked_at = Instant(null=True)

    class Meta:
        table = "staff_token"


class Guess(Model):
    """Failed sign-ins counted under a key: an account, an address, or both. `until` is when the next try is heard."""

    key = fields.CharField(120, primary_key=True)
    failures = fields.IntField()
    first_at = Instant()
    until = Instant(null=True)

    class Meta:
        table = "guess"


def is_live(used_at: datetime, ends_at: datetime, revoked_at: datetime | None, at: datetime, idle: timedelta) -> bool:
    """Whether a session counts at `at` (the machine's clock): not revoked, not past its end, not idle too long."""
    return revoked_at is None and at < ends_at and at < used_at + idle
