"""What a buyer may do with an order, asked of the rules that the mutations follow."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from models.protection import require_askable, require_under_way
from models.refusals import Unavailable


class Action(NamedTuple):
    """One mutation; `refusal` None: it would be done now, until `until` where that is known."""

    name: str
    refusal: Unavailable | None
    until: datetime | None


def actions_of(order: Any, extensions: Sequence[Any], now: datetime) -> list[Action]:
    """The mutations of one order at `now`. Its seller can always be written to."""
    return [
        _action("requestProtectionExtension", lambda: require_askable(order, extensions, now), order.ends_at),
        _action("confirmReceipt", lambda: require_under_way(order, now), order.ends_at),
        Action("sendMessage", None, None),
    ]


def _action(name: str, rule: Callable[[], object], until: datetime | None) -> Action:
    try:
        rule()
    except Unavailable as refusal:
        return Action(name, refusal, refusal.available_until)
    return Action(name, None, until)
