"""Standing: how far an account is trusted, and what may be done at each level: one table for mutations and `actions`."""

import enum
from datetime import datetime
from typing import Any, NamedTuple

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account, Level, StandingReason
from models.instants import Instant
from models.refusals import BadUserInput, ErrorCode, Unavailable

LONGEST_TEXT = 2000


class Deed(enum.Enum):
    """What buyers do, as far as their standing has a say in it."""

    COME_AND_GO = enum.auto()  # in by every way there is and out again, ending sessions, proving who one is
    STAY_SAFE = enum.auto()  # passwords and the second factor: whoever lost theirs to a thief takes the account back
    CHANGE_WAYS_IN = enum.auto()  # adding and removing what the account is signed in to by
    READ = enum.auto()
    WISH = enum.auto()
    WRITE_TO_SELLERS = enum.auto()
    CARE_FOR_ORDERS = enum.auto()
    APPEAL = enum.auto()
    HAVE_ONES_DATA = enum.auto()  # a copy of it, and staying after all
    LEAVE = enum.auto()
    ANYTHING_ELSE = enum.auto()


_NOT_BLOCKED = frozenset({Level.GOOD, Level.WARNED, Level.RESTRICTED})
_EVERYBODY = _NOT_BLOCKED | {Level.BLOCKED}

MAY: dict[Deed, frozenset[Level]] = {
    Deed.COME_AND_GO: _EVERYBODY,
    Deed.STAY_SAFE: _EVERYBODY,
    Deed.READ: _EVERYBODY,
    Deed.APPEAL: _EVERYBODY,
    Deed.HAVE_ONES_DATA: _EVERYBODY,
    Deed.CHANGE_WAYS_IN: _NOT_BLOCKED,
    Deed.WISH: _NOT_BLOCKED,
    Deed.WRITE_TO_SELLERS: _NOT_BLOCKED,
    Deed.CARE_FOR_ORDERS: _NOT_BLOCKED,
    Deed.LEAVE: _NOT_BLOCKED,
    Deed.ANYTHING_ELSE: _NOT_BLOCKED,
}

DEEDS: dict[str, Deed] = {
    "activate": Deed.COME_AND_GO,
    "addFavorite": Deed.WISH,
    "addPasskey": Deed.CHANGE_WAYS_IN,
    "answerAppeal": Deed.APPEAL,
    "answerSecondFactor": Deed.COME_AND_GO,
    "appeal": Deed.APPEAL,
    "beginPasskey": Deed.CHANGE_WAYS_IN,
    "beginPasskeySignIn": Deed.COME_AND_GO,
    "beginSecondFactor": Deed.STAY_SAFE,
    "cancelEmailChange": Deed.STAY_SAFE,
    "changePassword": Deed.STAY_SAFE,
    "confirmEmailChange": Deed.CHANGE_WAYS_IN,
    "confirmReceipt": Deed.CARE_FOR_ORDERS,
    "confirmSecondFactor": Deed.STAY_SAFE,
    "deleteAccount": Deed.LEAVE,
    "exportMyData": Deed.HAVE_ONES_DATA,
    "findAccount": Deed.COME_AND_GO,
    "keepAccount": Deed.HAVE_ONES_DATA,
    "markRead": Deed.READ,
    "reauthenticate": Deed.COME_AND_GO,
    "reauthenticateByPasskey": Deed.COME_AND_GO,
    "refreshSession": Deed.COME_AND_GO,
    "removeFavorite": Deed.WISH,
    "removeFavoriteOf": Deed.WISH,
    "removeSecondFactor": Deed.STAY_SAFE,
    "renamePasskey": Deed.CHANGE_WAYS_IN,
    "renewRecoveryCodes": Deed.STAY_SAFE,
    "requestEmailChange": Deed.CHANGE_WAYS_IN,
    "requestPasswordReset": Deed.STAY_SAFE,
    "requestPhoneCode": Deed.COME_AND_GO,  # to link a number: CHANGE_WAYS_IN, asked where the purpose is known
    "requestProtectionExtension": Deed.CARE_FOR_ORDERS,
    "resetPassword": Deed.STAY_SAFE,
    "revokeSession": Deed.COME_AND_GO,
    "sendMessage": Deed.WRITE_TO_SELLERS,
    "setWatch": Deed.WISH,
    "signIn": Deed.COME_AND_GO,
    "signInByPasskey": Deed.COME_AND_GO,
    "signOut": Deed.COME_AND_GO,
    "signOutElsewhere": Deed.COME_AND_GO,
    "signUp": Deed.COME_AND_GO,
    "unlinkSignInMethod": Deed.CHANGE_WAYS_IN,
    "verifyPhoneCode": Deed.COME_AND_GO,  # as requestPhoneCode
}
"""The deed of every buyer's mutation. One that is not listed is ANYTHING_ELSE, and a test fails."""

STAFF = frozenset({"advanceClock"})
"""Mutations of staff whose answer is not a list of results, which standing has no say in."""

_CODES = {Level.RESTRICTED: ErrorCode.ACCOUNT_RESTRICTED}


class StandingChange(Model):
    """What was decided about an account's standing, and by whom: a staff token, or the operator or the service itself.

    Rows are only added. `external_id` is the platform's name of the decision; `at` and `until` are the domain's.
    """

    id = fields.BigIntField(primary_key=True)
    external_id = fields.CharField(120, null=True, unique=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.RESTRICT)
    account_id: int
    level = fields.CharEnumField(Level, max_length=10)
    reason = fields.CharEnumField(StandingReason, max_length=20, null=True)
    text = fields.TextField(null=True)
    staff_id = fields.BigIntField(null=True)
    at = Instant()
    until = Instant(null=True)

    class Meta:
        table = "standing_change"
        indexes = (Index(fields=("account_id", "id")),)


class Standing(NamedTuple):
    """An account's standing at some instant; `until` None: with an open end."""

    account_id: int
    level: Level
    reason: StandingReason | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class NotInStanding(Unavailable):
    """The account's standing does not allow this; `standing` says why, and until when."""

    def __init__(self, standing: Standing):
        super().__init__(_CODES.get(standing.level, ErrorCode.ACCOUNT_BLOCKED), available_from=standing.until)
        self.standing = standing


def standing_of(account: Any, now: datetime) -> Standing:
    """The standing in an account's row, at `now`."""
    if account.standing_level is Level.GOOD or (account.standing_until is not None and now >= account.standing_until):
        return Standing(account.id, Level.GOOD)
    return Standing(
        account.id, account.standing_level, account.standing_reason, account.standing_text, account.standing_since, account.standing_until
    )


def is_for_everybody(deed: Deed) -> bool:
    """Whether no standing forbids it."""
    return MAY[deed] >= _EVERYBODY


def require_may(account: Any, deed: Deed, now: datetime) -> None:
    """Refuse what the account's standing does not allow.

    Raises:
        NotInStanding: ACCOUNT_RESTRICTED or ACCOUNT_BLOCKED.
    """
    if account.standing_level in MAY[deed]:
        return
    standing = standing_of(account, now)
    if standing.level not in MAY[deed]:
        raise NotInStanding(standing)


def require_decision(level: Level, reason: StandingReason | None, until: datetime | None, now: datetime) -> None:
    """Refuse a decision that says too little or too much: a reason for all but GOOD, which has no end either.

    Raises:
        BadUserInput: names the field. CLOSED is for accounts that were erased.
    """
    if level is Level.CLOSED:
        raise BadUserInput(field="level")
    if (reason is None) is not (level is Level.GOOD):
        raise BadUserInput(field="reason")
    if until is not None and (level is Level.GOOD or until <= now):
        raise BadUserInput(field="until")
