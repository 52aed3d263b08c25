"""Passkeys: keys on the buyers' own devices, the challenges that these answer, and what a passkey may be called."""

import hashlib
from datetime import timedelta

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account, Identity
from models.instants import Instant
from models.refusals import BadUserInput, ErrorCode, Unavailable

CHALLENGE_LASTS = timedelta(minutes=5)
MOST_PASSKEYS = 20
LONGEST_NAME = 100
LONGEST_CREDENTIAL_ID = 1023


class Passkey(Model):
    """What is known of a passkey beside its identity, whose subject is the hash of `credential_id`.

    The id and the public key (COSE) are base64url. `sign_count` is the device's own, 0 for ever where it does not count;
    `transports` are names of WebAuthn, by commas; `backed_up`: its maker has copies elsewhere.
    """

    identity: fields.OneToOneRelation[Identity] = fields.OneToOneField(
        "models.Identity", primary_key=True, on_delete=fields.CASCADE
    )
    identity_id: int
    credential_id = fields.CharField(1364)
    public_key = fields.TextField()
    sign_count = fields.BigIntField()
    transports = fields.CharField(100)
    backed_up = fields.BooleanField()
    name = fields.CharField(LONGEST_NAME)
    last_used_at = Instant(null=True)

    class Meta:
        table = "passkey"


class PasskeyHolder(Model):
    """By what an account is known to devices: 256 random bits in base64url, which tell nothing of it."""

    account: fields.OneToOneRelation[Account] = fields.OneToOneField(
        "models.Account", primary_key=True, on_delete=fields.CASCADE
    )
    account_id: int
    handle = fields.CharField(43, unique=True)

    class Meta:
        table = "passkey_holder"


class PasskeyChallenge(Model):
    """A challenge that has not been answered yet; the row goes with the first answer, whatever it is worth.

    Only the SHA-256 is kept. `account` is who adds a passkey; without one it is for signing in. Times are the machine's.
    """

    challenge_hash = fields.CharField(64, primary_key=True)
    account: fields.ForeignKeyNullableRelation[Account] = fields.ForeignKeyField(
        "models.Account", null=True, on_delete=fields.CASCADE
    )
    account_id: int | None
    ends_at = Instant()

    class Meta:
        table = "passkey_challenge"
        indexes = (Index(fields=("account_id",)), Index(fields=("ends_at",)))


def subject_of_credential(credential_id: bytes) -> str:
    """The subject of a passkey's identity: an id may be longer than a subject, its hash is not."""
    return hashlib.sha256(credential_id).hexdigest()


def require_passkey_name(name: str) -> str:
    """The name as it is kept.

    Raises:
        BadUserInput: empty, longer than 100 characters, or not printable.
    """
    trimmed = name.strip()
    if not trimmed or len(trimmed) > LONGEST_NAME or not trimmed.isprintable():
        raise BadUserInput(field="name")
    return trimmed


def require_room(passkeys: int) -> None:
    """Raises:
    Unavailable: LIMIT_REACHED, the account has 20.
    """
    if passkeys >= MOST_PASSKEYS:
        raise Unavailable(ErrorCode.LIMIT_REACHED, text="PASSKEYS_LEFT", most=MOST_PASSKEYS)


def goes_on(sign_count: int, before: int) -> bool:
    """Whether a device may show this count after that one: a higher one, or none at all. Else there are two of the key."""
    return sign_count > before or sign_count == before == 0
