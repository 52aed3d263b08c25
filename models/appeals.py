"""Appeals: a buyer who does not agree with their account's standing, and what became of it."""

import enum
from datetime import datetime, timedelta
from typing import Any

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account, Level
from models.instants import Instant
from models.refusals import ErrorCode, Refusal, Unavailable
from models.standing import Standing, StandingChange

BETWEEN = timedelta(days=30)


class AppealState(enum.StrEnum):
    OPEN = "OPEN"
    IN_REVIEW = "IN_REVIEW"
    NEEDS_INFO = "NEEDS_INFO"
    GRANTED = "GRANTED"
    REJECTED = "REJECTED"


BY_STAFF: dict[AppealState, frozenset[AppealState]] = {
    AppealState.OPEN: frozenset({AppealState.IN_REVIEW}),
    AppealState.IN_REVIEW: frozenset({AppealState.GRANTED, AppealState.REJECTED, AppealState.NEEDS_INFO}),
    AppealState.NEEDS_INFO: frozenset({AppealState.GRANTED, AppealState.REJECTED}),
    AppealState.GRANTED: frozenset(),
    AppealState.REJECTED: frozenset(),
}
BY_BUYER: dict[AppealState, AppealState] = {AppealState.NEEDS_INFO: AppealState.IN_REVIEW}
OVER = frozenset(state for state, following in BY_STAFF.items() if not following)


class AppealAuthor(enum.StrEnum):
    BUYER = "BUYER"
    STAFF = "STAFF"


class Appeal(Model):
    """One appeal, against what `change` decided. An account has one at most that is not over. Instants are the domain's."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.RESTRICT)
    account_id: int
    change: fields.ForeignKeyRelation[StandingChange] = fields.ForeignKeyField("models.StandingChange", on_delete=fields.RESTRICT)
    change_id: int
    state = fields.CharEnumField(AppealState, max_length=10)
    opened_at = Instant()
    decided_at = Instant(null=True)
    staff_id = fields.BigIntField(null=True)

    class Meta:
        table = "appeal"
        indexes = (Index(fields=("account_id", "id")), Index(fields=("change_id",)))


class AppealMessage(Model):
    """What was said in an appeal; an erasure alone takes the text away."""

    id = fields.BigIntField(primary_key=True)
    appeal: fields.ForeignKeyRelation[Appeal] = fields.ForeignKeyField("models.Appeal", on_delete=fields.RESTRICT)
    appeal_id: int
    account_id = fields.BigIntField()
    author = fields.CharEnumField(AppealAuthor, max_length=5)
    staff_id = fields.BigIntField(null=True)
    text = fields.TextField()
    at = Instant()

    class Meta:
        table = "appeal_message"
        indexes = (Index(fields=("appeal_id", "id")),)


def require_appealable(standing: Standing, latest: Any | None, now: datetime) -> None:
    """Refuse an appeal where there is nothing to appeal against, where one is open, and within 30 days of the one before.

    Raises:
        Unavailable: WRONG_STATE, ALREADY_ASKED, or TOO_EARLY with the instant from which on it is heard.
    """
    if latest is not None and latest.state not in OVER:
        raise Unavailable(ErrorCode.ALREADY_ASKED)
    if standing.level in (Level.GOOD, Level.CLOSED):
        raise Unavailable(ErrorCode.WRONG_STATE, text="NOTHING_TO_APPEAL")
    if latest is not None and now < latest.opened_at + BETWEEN:
        raise Unavailable(ErrorCode.TOO_EARLY, available_from=latest.opened_at + BETWEEN)


def require_answerable(latest: Any | None) -> None:
    """Raises:
    Unavailable: WRONG_STATE, nobody has asked the buyer for more.
    """
    if latest is None or latest.state not in BY_BUYER:
        raise Unavailable(ErrorCode.WRONG_STATE, text="NOTHING_TO_ANSWER")


def require_next(present: AppealState, wanted: AppealState) -> None:
    """Raises:
    Refusal: WRONG_STATE, staff cannot take the appeal from where it is to there.
    """
    if wanted not in BY_STAFF[present]:
        raise Refusal(ErrorCode.WRONG_STATE, field="state")
