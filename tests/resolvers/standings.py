"""Standing in tests: decisions of staff, and what a buyer sees and meets of them."""

from datetime import datetime
from typing import Any

from tests.shop import Buyer, Client, Shop

STANDING = "{ me { standing { level reason text since until appeal { id state } actions { name allowed code availableFrom } } } }"
APPEAL = "mutation($input: AppealInput!) { appeal(input: $input) { ... on AppealOpened { appeal { id state openedAt messages { author text } } } ... on Refusal { code field } ... on Unavailable { availableFrom } } }"


async def decide(shop: Shop, buyer: Buyer, name: str, level: str = "BLOCKED", by: Client | None = None, **given: Any) -> dict[str, Any]:
    """One decision of staff about a buyer; its row of the results."""
    row = {"externalId": name, "accountExternalId": buyer.external_id, "level": level}
    if level != "GOOD":
        row |= {"reason": "RULES", "text": "You have sent spam."}
    return await put(by or shop.staff, "setStandings", "SetStandingsInput", {**row, **given})


async def put(staff: Client, operation: str, input: str, row: dict[str, Any]) -> dict[str, Any]:
    query = f"mutation($input: {input}!) {{ {operation}(input: $input) {{ results {{ externalId status code message }} }} }}"
    ((result,),) = [(await staff.data(query, input={"rows": [row]}))[operation]["results"]]
    return result


async def standing_of(buyer: Buyer) -> dict[str, Any]:
    return (await buyer.data(STANDING))["me"]["standing"]


async def appeal(buyer: Buyer, text: str = "It was not me.") -> dict[str, Any]:
    return (await buyer.data(APPEAL, input={"text": text}))["appeal"]


def iso(at: datetime) -> str:
    return at.isoformat()
