"""What a buyer may do with an order, asked of the rules that the mutations follow."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from models.protection import require_askable, require_under_way
from models.refusals import Unavailable
from models.standing import DEEDS, require_may


class Action(NamedTuple):
    """One mutation; `refusal` None: it would be done now, until `until` where that is known.

    From when on a refused one is allowed is in the refusal, where its rule knows: none of those below does.
    """

    name: str
    refusal: Unavailable | None
    until: datetime | None


def actions_of(order: Any, extensions: Sequence[Any], account: Any, now: datetime) -> list[Action]:
    """The mutations of one order of `account` at `now`. Its seller can always be written to."""
    return [
        action("requestProtectionExtension", account, now, lambda: require_askable(order, extensions, now), order.ends_at),
        action("confirmReceipt", account, now, lambda: require_under_way(order, now), order.ends_at),
        action("sendMessage", account, now),
    ]


def action(
    name: str, account: Any, now: datetime, rule: Callable[[], object] = lambda: None, until: datetime | None = None
) -> Action:
    """The mutation `name`, which the account's standing and `rule` allow or not."""
    try:
        require_may(account, DEEDS[name], now)
        rule()
    except Unavailable as refusal:
        return Action(name, refusal, refusal.available_until)
    return Action(name, None, until)
