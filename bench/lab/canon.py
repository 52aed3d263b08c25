"""Maps Kabinet's answers to the shape of the lab's documents. What stands for what is said in docs/benchmarks.md."""

import base64
from datetime import datetime

STATUS = {
    "AWAITING_PAYMENT": "pending",
    "PAYMENT_REVIEW": "pending",
    "AWAITING_SHIPMENT": "paid",
    "SHIPPED": "shipped",
    "DELIVERED": "delivered",
    "COMPLETED": "completed",
    "CANCELLED": "cancelled",
    "CLOSED": "refunded",
    "PARTLY_SHIPPED": "disputed",
}
RUNNING = ("AWAITING_SHIPMENT", "IN_TRANSIT", "INSPECTION")
DAY = 24 * 60 * 60  # what ends sooner would end in a run: load.py has it end later


def number(global_id):
    """The lab's id in one of ours."""
    return base64.b64decode(global_id).decode().partition(":")[2]


def cents(money):
    """The lab's amounts are in cents, ours exact text with both digits."""
    return int(money["amount"].replace(".", ""))


def nodes(connection):
    return [edge["node"] for edge in connection["edges"]]


def product(found):
    return {"id": number(found["id"]), "title": found["title"], "priceCents": cents(found["price"])}


def item(found):
    store = found["product"]["store"]
    return {
        "title": found["title"],
        "priceCents": cents(found["price"]),
        "quantity": found["quantity"],
        "product": {**product(found["product"]), "seller": {"id": number(store["id"]), "name": store["name"]}},
    }


def order(found):
    """The lab's countdown runs in every state, ours while protection does; see docs/benchmarks.md."""
    shown = found["protection"]
    until, left = shown["endsAt"], shown["secondsLeft"]
    seconds = (instant(found["payByAt"]) - instant(shown["serverTime"])).total_seconds()
    if until is None or shown["phase"] not in RUNNING or seconds <= DAY:
        until, left = found["payByAt"], max(0, int(seconds))
    return {
        "id": number(found["id"]),
        "number": found["number"],
        "status": STATUS[found["status"]],
        "createdAt": found["placedAt"],
        "totalCents": cents(found["total"]),
        "protectionDeadline": until,
        "secondsLeft": left,
        "items": [item(entry) for entry in found["items"]],
    }


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def statistics(home, reviews):
    counts = {}
    for entry in home["orderCounts"]:
        if entry["count"]:
            name = STATUS[entry["status"]]
            counts[name] = counts.get(name, 0) + entry["count"]
    return {
        "ordersTotal": sum(counts.values()),
        "ordersByStatus": [{"status": name, "count": counts[name]} for name in sorted(counts)],
        "disputes": home["disputeCount"],
        "reviews": home["reviewCount"] + reviews["totalCount"],
    }


def favorite(found):
    lowest = found["product"]["lowestPrice30Days"]
    shown = {**product(found["product"]), "lowestPrice30d": lowest and cents(lowest)}
    return {"createdAt": found["addedAt"], "product": shown}


def coupon(found):
    return {
        "code": found["title"],
        "discountPct": found["percentOff"],
        "expiresAt": found["endsAt"],
        "expired": found["state"] == "EXPIRED",
    }


def q1(data):
    me = data["me"]
    return {
        "me": {
            "id": number(me["id"]),
            "displayName": me["displayName"],
            "email": me["email"],
            "phone": me["phone"],
            "createdAt": me["createdAt"],
            "statistics": statistics(me["home"], me["reviews"]),
            "orders": {"nodes": [order(found) for found in nodes(me["orders"])]},
            "favorites": [favorite(found) for found in nodes(me["favorites"])],
            "coupons": [coupon(found) for found in nodes(me["coupons"])],
            "unreadMessages": me["home"]["unreadMessageCount"],
        }
    }


def q2(data):
    found = data["me"]["orders"]
    return {"me": {"orders": {"nodes": [order(entry) for entry in nodes(found)], "pageInfo": found["pageInfo"]}}}


def q3(data):
    return {"me": {"id": number(data["me"]["id"]), "displayName": data["me"]["displayName"]}}


def m1(data):
    added = data["addFavorite"]["favorite"]["product"]
    return {
        "addFavorite": {"product": {"id": number(added["id"]), "title": added["title"]}},
        "removeFavorite": "favoriteId" in data["removeFavoriteOf"],
    }
