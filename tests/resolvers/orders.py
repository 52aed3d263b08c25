"""What the tests of orders share: an order as the platform tells it, and the documents they send."""

from datetime import datetime, timedelta
from typing import Any

from tests.shop import Buyer, Product, Shop

ORDER = """query($id: ID!) { order(id: $id) {
  id number status placedAt total { amount currency } discount { amount } store { name } address cancelReason
  items { title quantity price { amount } product { id } }
  shipments { trackingNumber carrier shippedAt deliveredAt events { at status place } }
  protection { phase startsAt endsAt secondsLeft ending frozen fundsReleaseAt extensions { days by state at reason } }
  coupons { state } conversation { kind unreadCount order { id } }
  actions { name allowed code message availableUntil } } }"""
CONFIRM = """mutation($id: ID!) { confirmReceipt(orderId: $id) {
  __typename ... on ReceiptConfirmed { order { status protection { phase } } } ... on Refusal { code field message } } }"""
ASK = """mutation($id: ID!, $days: Int!) { requestProtectionExtension(input: {orderId: $id, days: $days}) {
  __typename ... on ProtectionExtensionRequested { order { protection { extensions { days by state } } } }
  ... on Refusal { code field message } } }"""

_numbers = iter(range(1, 10**9))


async def order_row(shop: Shop, buyer: Buyer, product: Product, ago: timedelta = timedelta(hours=1), **given: Any) -> dict[str, Any]:
    """A row of putOrders: two of `product` at 10.00, placed `ago`; a timedelta among `given` is so long ago too."""
    now = await shop.now()
    number = next(_numbers)
    row = {
        "externalId": f"ORD-{number:06d}",
        "accountExternalId": buyer.external_id,
        "storeExternalId": given.pop("store", None) or await shop.store(),
        "currency": "USD",
        "placedAt": said(now - ago),
        "items": [{"productExternalId": product.external_id, "title": f"Lamp {number}", "quantity": 2, "amount": "10.00"}],
        **given,
    }
    return {name: said(now - value) if isinstance(value, timedelta) else value for name, value in row.items()}


def said(at: datetime) -> str:
    return at.isoformat()


async def put_order(shop: Shop, buyer: Buyer, product: Product | None = None, **given: Any) -> tuple[dict[str, Any], str]:
    """An order as the platform told it: its row, and its id."""
    row = await order_row(shop, buyer, product or await shop.product(), **given)
    (result,) = await shop.put("putOrders", [row])
    assert result["status"] == "CREATED", result
    return row, await id_of(buyer, row["externalId"])


async def id_of(buyer: Buyer, number: str) -> str:
    found = await buyer.data("query($s: String!) { me { orders(search: $s, first: 1) { edges { node { id } } } } }", s=number)
    return found["me"]["orders"]["edges"][0]["node"]["id"]


async def read(buyer: Buyer, order_id: str) -> dict[str, Any]:
    return (await buyer.data(ORDER, id=order_id))["order"]


async def phase(buyer: Buyer, order_id: str) -> tuple[str, str]:
    """The order's status and the phase of its protection."""
    found = await read(buyer, order_id)
    return found["status"], found["protection"]["phase"]


async def ship(shop: Shop, row: dict[str, Any], tracking_number: str | None = None, **given: Any) -> dict[str, Any]:
    number = tracking_number or f"TN{next(_numbers):08d}"
    (result,) = await shop.put("shipOrders", [{"orderExternalId": row["externalId"], "trackingNumber": number, **given}])
    return {**result, "trackingNumber": number}


async def scan(shop: Shop, tracking_number: str, status: str, ago: timedelta = timedelta(0), **given: Any) -> dict[str, Any]:
    at = said(await shop.now() - ago)
    (result,) = await shop.put("addTrackingEvents", [{"trackingNumber": tracking_number, "at": at, "status": status, **given}])
    return result


async def answer(shop: Shop, row: dict[str, Any], **given: Any) -> dict[str, Any]:
    (result,) = await shop.put("answerExtensions", [{"orderExternalId": row["externalId"], **given}])
    return result
