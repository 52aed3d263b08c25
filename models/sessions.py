"""Sessions of buyers, tokens of staff, and the counters that slow guessing down."""

import enum
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.columns import dump_json, load_json
from models.instants import Instant

STAFF_PREFIX = "kst_"
DEMO_STAFF_TOKEN = "kst_demo-staff-token-of-the-demo-world"
"""Everybody can read it here: it counts in demo mode alone, also where the database was a demo's before."""
LIVE_SESSIONS = 50
TOUCH_EVERY = timedelta(minutes=5)
UNREMEMBERED_LASTS = timedelta(hours=24)
ACCESS_LASTS = timedelta(minutes=5)
GRACE = timedelta(seconds=10)
SCOPES = (
    "accounts",
    "catalog",
    "clock",
    "coupons",
    "favorites",
    "messages",
    "orders",
    "prices",
    "standing",
)


class Transport(enum.StrEnum):
    """How a client carries its session: one token in a cookie or a header, or an app's pair of them."""

    BROWSER = "BROWSER"
    APP = "APP"


class Stay(NamedTuple):
    """What a new session is carried by, and whether it outlives the browser, or 24 hours."""

    transport: Transport = Transport.BROWSER
    remembered: bool = True


IN_BROWSER = Stay()


class Session(Model):
    """A sign-in that lasts. Only the SHA-256 of its token is kept; instants are the machine's.

    `proved_at` is when its owner last proved who they are: at the sign-in, or by the password later on. An app's token
    is its access token, good until `access_until`, null for all others. One that is not `remembered` is forgotten by
    the browser when it closes.
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.CASCADE)
    account_id: int
    token_hash = fields.CharField(64, unique=True)
    created_at = Instant()
    used_at = Instant()
    proved_at = Instant()
    ends_at = Instant()
    revoked_at = Instant(null=True)
    access_until = Instant(null=True)
    remembered = fields.BooleanField(default=True)
    address = fields.CharField(45)
    agent = fields.CharField(200)

    class Meta:
        table = "session"
        indexes = (Index(fields=("account_id", "created_at")),)


class RefreshToken(Model):
    """What is kept of an app session's refresh tokens, each good for one turn; `turned_at` is the machine's.

    All of one family begin alike, with what only who has had one of them knows: `family_hash` is its SHA-256. The next
    token is made of the one that was turned, of `salt` and of a key that is not in this table, so that whoever asks
    again at once is told the same, and nothing here can be turned. `previous_hash` is null until the first turn.
    """

    session: fields.OneToOneRelation[Session] = fields.OneToOneField("models.Session", primary_key=True, on_delete=fields.CASCADE)
    session_id: int
    family_hash = fields.CharField(64, unique=True)
    token_hash = fields.CharField(64)
    previous_hash = fields.CharField(64, null=True)
    salt = fields.CharField(64)
    turned_at = Instant()

    class Meta:
        table = "refresh_token"


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
    scopes: Any = fields.JSONField(encoder=dump_json, decoder=load_json)
    created_at = Instant()
    revoked_at = Instant(null=True)

    class Meta:
        table = "staff_token"


class Guess(Model):
    """What is counted of an account or an address of theirs: failed sign-ins, mails, codes. `until` is when the next try is heard."""

    key = fields.CharField(120, primary_key=True)
    failures = fields.IntField()
    first_at = Instant()
    until = Instant(null=True)

    class Meta:
        table = "guess"


def is_live(used_at: datetime, ends_at: datetime, revoked_at: datetime | None, at: datetime, idle: timedelta) -> bool:
    """Whether a session counts at `at` (the machine's clock): not revoked, not past its end, not idle too long."""
    return revoked_at is None and at < ends_at and at < used_at + idle


class Turn(enum.Enum):
    """What a refresh token of a live session is good for."""

    NEXT = "NEXT"
    AGAIN = "AGAIN"
    REUSED = "REUSED"


def turn_of(presented: str, current: str, previous: str | None, turned_at: datetime, at: datetime) -> Turn:
    """What is to be done for a refresh token, all by their hashes: turn it, say its successor again, or see a theft in it.

    The last instant of the ten seconds still counts; a token older than the one before is never told anything.
    """
    if presented == current:
        return Turn.NEXT
    if presented == previous and at <= turned_at + GRACE:
        return Turn.AGAIN
    return Turn.REUSED
