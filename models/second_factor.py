"""The second factor: an authenticator's codes beside the first proof, and codes on paper for when it is lost."""

import re
from datetime import timedelta
from typing import NamedTuple

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.instants import Instant

CHALLENGE_LASTS = timedelta(minutes=5)
ENROLMENT_LASTS = timedelta(minutes=15)
MOST_TRIES = 5
RECOVERY_CODES, RECOVERY_BYTES = 10, 10  # 80 bits each

_DIGITS, _RECOVERY = re.compile(r"[0-9]{6}"), re.compile(r"[A-Z2-7]{16}")
_SEPARATORS = re.compile(r"[\s-]+")
_MISREAD = str.maketrans("018", "OIB")  # base32 has none of these digits


class SecondFactor(Model):
    """The authenticator of an account; it is asked for once `enabled_at` is set, and begun anew until then.

    Of the shared secret only an encrypted copy is kept; `sealed_by` names the service's secret that it is under. `last_step` is the 30-second step of the last code that counted: none
    of it or before it counts again. Times are the machine's.
    """

    account: fields.OneToOneRelation[Account] = fields.OneToOneField(
        "models.Account", primary_key=True, on_delete=fields.CASCADE
    )
    account_id: int
    sealed_secret = fields.CharField(400)
    sealed_by = fields.CharField(16)
    begun_at = Instant()
    enabled_at = Instant(null=True)
    last_step = fields.BigIntField(default=0)

    class Meta:
        table = "second_factor"


class RecoveryCode(Model):
    """A code on paper that counts once in the authenticator's place; the row goes with its use. Only its SHA-256 is kept."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.CASCADE)
    account_id: int
    code_hash = fields.CharField(64)

    class Meta:
        table = "recovery_code"
        unique_together = (("account_id", "code_hash"),)


class SecondFactorChallenge(Model):
    """A sign-in whose first proof was right and whose second is waited for. Times are the machine's.

    Of the challenge only the SHA-256 is kept; `device_hash` is set where it began in a browser that has a device's token,
    and then it counts in that browser alone.
    """

    id = fields.BigIntField(primary_key=True)
    challenge_hash = fields.CharField(64, unique=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.CASCADE)
    account_id: int
    device_hash = fields.CharField(64, null=True)
    created_at = Instant()
    ends_at = Instant()
    tries = fields.IntField(default=0)
    used_at = Instant(null=True)

    class Meta:
        table = "second_factor_challenge"
        indexes = (Index(fields=("account_id",)), Index(fields=("ends_at",)))


class GivenCode(NamedTuple):
    """A code as somebody typed it, without what spelling adds: one of the two, or neither where it can be none."""

    digits: str | None
    recovery: str | None


def given_code(typed: str) -> GivenCode:
    """Tell an authenticator's code from one on paper, whose groups may be written with dashes, spaces or neither."""
    plain = _SEPARATORS.sub("", typed)
    if _DIGITS.fullmatch(plain):
        return GivenCode(plain, None)
    recovery = plain.upper().translate(_MISREAD)
    return GivenCode(None, recovery if _RECOVERY.fullmatch(recovery) else None)


def in_groups(code: str) -> str:
    """A recovery code as it is shown: `ABCD-EFGH-IJKL-MNOP`."""
    return "-".join(code[n : n + 4] for n in range(0, len(code), 4))
