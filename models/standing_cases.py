"""Cases: what signals put before staff. Nothing happens to an account by a signal alone."""

import enum
from datetime import datetime, timedelta
from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.accounts import Account
from models.columns import dump_json, load_json
from models.instants import Instant
from models.refusals import ErrorCode, Refusal

LOOKS_BACK = timedelta(days=180)
FEWEST_ORDERS = 5


class Signal(enum.StrEnum):
    DISPUTES = "DISPUTES"
    SHARED_PHONE = "SHARED_PHONE"


class CaseState(enum.StrEnum):
    OPEN = "OPEN"
    DECIDED = "DECIDED"
    DISMISSED = "DISMISSED"


class StandingCase(Model):
    """A proposal to look at an account. An account has one open case of a signal at most.

    `facts` are what was counted; `evidence` in them lists the ids of what it was counted from (orders, or accounts): a
    case that was closed is not opened again for the same. Instants are the domain's.
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.RESTRICT)
    account_id: int
    signal = fields.CharEnumField(Signal, max_length=20)
    state = fields.CharEnumField(CaseState, max_length=10)
    facts: dict[str, Any] = fields.JSONField(encoder=dump_json, decoder=load_json)
    opened_at = Instant()
    closed_at = Instant(null=True)
    staff_id = fields.BigIntField(null=True)

    class Meta:
        table = "standing_case"


def disputes_too_often(orders: int, disputed: int) -> bool:
    """Whether more than half of at least five orders were disputed."""
    return orders >= FEWEST_ORDERS and 2 * disputed > orders


def is_news(evidence: list[int], earlier: list[dict[str, Any]]) -> bool:
    """Whether there is something in the evidence that none of the earlier cases' facts has."""
    return not set(evidence) <= {one for facts in earlier for one in facts["evidence"]}


def require_open(case: Any) -> None:
    """Raises:
    Refusal: WRONG_STATE, it was decided or dismissed before.
    """
    if case.state is not CaseState.OPEN:
        raise Refusal(ErrorCode.WRONG_STATE, field="caseId")


def since(now: datetime) -> datetime:
    """From when on orders count for signals."""
    return now - LOOKS_BACK
