"""A shop with rows at every edge of the graph, filled through the staff half: what is null, empty, over, missing,
in other currencies and in other scripts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from auth.credentials import Credentials
from auth.viewer import Viewer
from models.standing_cases import Signal
from models.unit_of_work import Work, unit_of_work
from resolvers.standing_signals import Finding, propose
from schema.scalars import local_id
from tests.authenticators import turn_on
from tests.passkey_device import Authenticator
from tests.shop import Buyer, Shop
from tests.wire.queries import Known

DAY = timedelta(days=1)
PRODUCTS = 24


@dataclass
class Filled:
    """`viewers` are who may ask: a buyer with everything (twice: in Russian too), one with nothing, and nobody.

    The buyers may read what staff do, as nobody may who comes over the wire: few documents would be without an error else.
    """

    viewers: dict[str, Viewer]
    known: Known


async def fill(shop: Shop) -> Filled:
    now = await shop.now()
    full = await shop.buyer(displayName="Анна «Ё» O'Neil 🙂", phone="+79161234567", language="en", region="GE", currency="USD")
    empty = await shop.buyer(displayName="Nobody's", language="ru", region="RU", currency="RUB")
    await catalogue(shop, now)
    await favorites(shop, full, now)
    await coupons(shop, full, now)
    await orders(shop, full, now)
    await messages(shop, full, now)
    await turn_on(full)
    await passkey(shop, full)
    await full.data('mutation { requestEmailChange(input: { email: "wanted@shop.example" }) { __typename } }')
    await standings(shop, full, empty, now)
    await leaving(shop, full, now)
    viewers = {name: await shop.service.viewer(Credentials(bearer=buyer.token)) for name, buyer in (("full", full), ("empty", empty))}
    russian = await shop.service.viewer(Credentials(bearer=full.token))
    russian.language = "ru"
    viewers |= {"russian": russian, "nobody": Viewer(now=now), "refused": Viewer(now=now, refused=True)}
    for viewer in viewers.values():
        if viewer.account_id is not None:
            viewer.staff_id, viewer.scopes = 1, frozenset({"standing"})
        viewer.now = viewers["full"].now
    return Filled(viewers, await known(full))


async def put(shop: Shop, operation: str, rows: list[dict[str, Any]]) -> None:
    results = await shop.put(operation, rows)
    assert all(result["status"] in ("CREATED", "UPDATED") for result in results), results


async def catalogue(shop: Shop, now: datetime) -> None:
    await put(shop, "putStores", [{"externalId": f"s{n}", "name": name} for n, name in enumerate(["Лампы", "☕ & Co", "x" * 200])])
    money = ["USD", "JPY", "KWD", "RUB"]
    rows = [
        {
            "externalId": f"p{n}",
            "storeExternalId": f"s{n % 3}",
            "titles": [{"language": "ru", "text": f"Лампа {n}"}] * (n % 3 != 1) + [{"language": "en", "text": f'Lamp "{n}" \\ 灯'}] * (n % 3 != 0),
            "available": n % 5 != 0,
            "amount": "1000",
            "currency": money[n % 4],
            "at": (now - (200 if n % 2 else 20) * DAY).isoformat(),
        }
        for n in range(PRODUCTS)
    ]
    await put(shop, "putProducts", rows)
    for days, amount in ((19, "1200"), (10, "900"), (3, "950")):
        await prices(shop, {n: amount for n in range(0, PRODUCTS, 2)}, now - days * DAY)


async def prices(shop: Shop, amounts: dict[int, str], at: datetime) -> None:
    money = ["USD", "JPY", "KWD", "RUB"]
    rows = [{"externalId": f"p{n}", "amount": amount, "currency": money[n % 4], "at": at.isoformat()} for n, amount in amounts.items()]
    await put(shop, "setPrices", rows)
    await shop.work()


WATCH = "mutation($input: SetWatchInput!) { setWatch(input: $input) { __typename } }"


async def favorites(shop: Shop, buyer: Buyer, now: datetime) -> None:
    """Favourites with every kind of watch, met and paused ones too; drops, one of them of a favourite that is gone."""
    rows = [
        {"accountExternalId": buyer.external_id, "productExternalId": f"p{n}", "addedAt": (now - 15 * DAY + timedelta(hours=n)).isoformat()}
        for n in range(10)
    ]
    await put(shop, "putFavorites", rows)
    listed = await buyer.data("{ me { favorites { edges { node { id } } } } }")
    ids = [edge["node"]["id"] for edge in reversed(listed["me"]["favorites"]["edges"])]
    wishes = {
        0: {"kind": "TARGET", "target": {"amount": "2000.00", "currency": "USD"}},
        1: {"kind": "TARGET", "target": {"amount": "1", "currency": "JPY"}, "paused": True},
        2: {"kind": "PERCENT", "percent": 10},
        3: {"kind": "PERCENT", "percent": 99, "paused": True},
        4: {"kind": "ANY_DROP", "paused": True},
    }
    for n, wish in wishes.items():
        answer = await buyer.data(WATCH, input={"favoriteId": ids[n], **wish})
        assert answer["setWatch"]["__typename"] == "WatchSet"
    await prices(shop, {n: "700" for n in range(10)}, now - 2 * DAY)
    await prices(shop, {6: "650.5", 8: "600"}, now - DAY / 2)
    await buyer.data("mutation($id: ID!) { removeFavorite(favoriteId: $id) { __typename } }", id=ids[6])


async def coupons(shop: Shop, buyer: Buyer, now: datetime) -> None:
    """Coupons of every issuer and value, in every state that needs no order."""
    titles = [{"language": "en", "text": "Off"}, {"language": "ru", "text": "Скидка"}]
    offers = [
        {"issuer": "PLATFORM", "amountOff": "5.00", "currency": "USD"},
        {"issuer": "STORE", "storeExternalId": "s0", "percentOff": 10, "maximumOff": "3.5", "minimumSpend": "20", "currency": "KWD"},
        {"issuer": "SPECIAL", "percentOff": 100},
        {"issuer": "SPECIAL", "storeExternalId": "s1", "amountOff": "500", "currency": "JPY"},
    ]
    await put(shop, "putCouponOffers", [{"externalId": f"o{n}", "titles": titles, **offer} for n, offer in enumerate(offers)])
    windows = {"active": (-DAY, DAY), "later": (DAY, 2 * DAY), "over": (-3 * DAY, -DAY), "revoked": (-DAY, DAY)}
    rows = [
        {
            "externalId": f"c-{state}-{n}",
            "accountExternalId": buyer.external_id,
            "offerExternalId": f"o{n}",
            "startsAt": (now + starts).isoformat(),
            "endsAt": (now + ends).isoformat(),
            **({"revokedAt": now.isoformat()} if state == "revoked" else {}),
        }
        for state, (starts, ends) in windows.items()
        for n in range(len(offers))
    ]
    await put(shop, "issueCoupons", rows)


def order_row(buyer: Buyer, name: str, now: datetime, days: float, **given: Any) -> dict[str, Any]:
    """An order of `days` ago; timedeltas among `given` are so long ago."""
    row = {
        "externalId": f"ord-{name}",
        "accountExternalId": buyer.external_id,
        "storeExternalId": "s0",
        "currency": "USD",
        "placedAt": timedelta(days=days),
        "items": [{"productExternalId": "p0", "title": "Лампа «Ё»", "quantity": 2, "amount": "10.5"}],
        **given,
    }
    return {key: (now - value).isoformat() if isinstance(value, timedelta) else value for key, value in row.items()}


async def orders(shop: Shop, buyer: Buyer, now: datetime) -> None:
    """Orders in every state that is reached without a dispute, with parcels, scans, extensions and used coupons."""
    three = [{"productExternalId": f"p{n}", "title": f"Thing {n}", "quantity": n + 1, "amount": "1.5"} for n in range(3)]
    yen = [{"productExternalId": "p1", "title": "灯", "quantity": 1, "amount": "1000"}]
    rows = [
        order_row(buyer, "unpaid", now, 0.1, couponExternalIds=["c-active-2"]),
        order_row(buyer, "unsent", now, 0.2, paidAt=DAY / 10, items=three, address="1 Main St\nTbilisi", couponExternalIds=["c-active-0"]),
        order_row(buyer, "partly", now, 3, paidAt=2 * DAY, items=three),
        order_row(buyer, "moving", now, 10, paidAt=9 * DAY, shipByAt=-DAY, guaranteeDays=60),
        order_row(buyer, "asked", now, 10, paidAt=9 * DAY, shipByAt=-DAY, guaranteeDays=30, currency="JPY", items=yen, storeExternalId="s1"),
        order_row(buyer, "arrived", now, 12, paidAt=11 * DAY, shipByAt=-DAY),
        order_row(buyer, "ending", now, 12, paidAt=11 * DAY, shipByAt=-DAY),
        order_row(buyer, "finished", now, 20, paidAt=19 * DAY, shippedAt=18 * DAY, deliveredAt=8 * DAY, completedAt=7 * DAY),
        order_row(buyer, "over", now, 90, paidAt=89 * DAY, shippedAt=88 * DAY, deliveredAt=80 * DAY, completedAt=70 * DAY),
        order_row(buyer, "cancelled", now, 5, paidAt=4 * DAY, cancelledAt=3 * DAY, cancelReason="BUYER"),
    ]
    await put(shop, "putOrders", rows)
    sent = {"partly": ([{"productExternalId": "p1", "quantity": 2}], 1), "moving": (None, 8), "asked": (None, 8), "arrived": (None, 10), "ending": (None, 10)}
    await put(shop, "shipOrders", [
        {"orderExternalId": f"ord-{name}", "trackingNumber": f"TN-{name}", "shippedAt": (now - days * DAY).isoformat(),
         **({"carrier": "Почта"} if name != "moving" else {}), **({"items": items, "whole": False} if items else {})}
        for name, (items, days) in sent.items()
    ])  # fmt: skip
    scans = [("moving", "ARRIVED", 7, "Омск"), ("moving", "DEPARTED", 6, None), ("arrived", "DELIVERED", 1, "Tbilisi"), ("ending", "DELIVERED", 4, None)]
    await put(shop, "addTrackingEvents", [
        {"trackingNumber": f"TN-{name}", "status": status, "at": (now - days * DAY).isoformat(), **({"place": place} if place else {})}
        for name, status, days, place in scans
    ])  # fmt: skip
    ids = {edge["node"]["number"]: edge["node"]["id"] for edge in (await buyer.data("{ me { orders(first: 100) { edges { node { id number } } } } }"))["me"]["orders"]["edges"]}
    for name in ("asked", "moving"):
        query = "mutation($input: RequestProtectionExtensionInput!) { requestProtectionExtension(input: $input) { __typename } }"
        answer = await buyer.data(query, input={"orderId": ids[f"ord-{name}"], "days": 5})
        assert answer["requestProtectionExtension"]["__typename"] == "ProtectionExtensionRequested", answer
    await put(shop, "answerExtensions", [{"orderExternalId": "ord-moving", "granted": True, "days": 3}])
    await put(shop, "answerExtensions", [{"orderExternalId": "ord-arrived", "granted": True, "days": 7, "reason": "Lost scans"}])
    await shop.work()


async def messages(shop: Shop, buyer: Buyer, now: datetime) -> None:
    """Conversations about orders and promotions, read and unread."""
    rows = [
        {"externalId": f"m{n}", "accountExternalId": buyer.external_id, "storeExternalId": f"s{n % 2}", "text": f"Привет 🙂 {n}\n\"ok\"",
         "sentAt": (now - DAY + timedelta(hours=n)).isoformat(), **({"orderExternalId": "ord-moving"} if n % 4 == 0 else {})}
        for n in range(8)
    ]  # fmt: skip
    await put(shop, "sendSellerMessages", rows)
    listed = await buyer.data("{ me { conversations(first: 100) { edges { node { id kind lastMessageAt } } } } }")
    spoken = [edge["node"] for edge in listed["me"]["conversations"]["edges"] if edge["node"]["lastMessageAt"]]
    (about, *_), (promotion, *_) = ([one["id"] for one in spoken if one["kind"] == kind] for kind in ("ORDER", "PROMOTION"))
    await buyer.data("mutation($id: ID!) { markRead(conversationId: $id) { __typename } }", id=promotion)
    query = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { __typename } }"
    answer = await buyer.data(query, input={"conversationId": about, "text": "Where is it?"})
    assert answer["sendMessage"]["__typename"] == "MessageSent"
    await put(shop, "sendSellerMessages", [{**rows[0], "externalId": "m9", "text": "Soon", "sentAt": now.isoformat()}])


async def passkey(shop: Shop, buyer: Buyer) -> None:
    """A passkey that was used once."""
    device = Authenticator(f"http://localhost:{shop.service.settings.port}")
    begun = (await buyer.data("mutation { beginPasskey { ... on PasskeyCreation { challengeId options } } }"))["beginPasskey"]
    given = {"challengeId": begun["challengeId"], "credential": device.create(begun["options"]), "name": "Телефон «Ё»"}
    query = "mutation($input: AddPasskeyInput!) { addPasskey(input: $input) { __typename } }"
    assert (await buyer.data(query, input=given))["addPasskey"]["__typename"] == "PasskeyAdded"
    asked = (await buyer.data("mutation { beginPasskeySignIn { ... on PasskeyRequest { challengeId options } } }"))["beginPasskeySignIn"]
    given = {"challengeId": asked["challengeId"], "credential": device.get(asked["options"])}
    query = "mutation($input: ReauthenticateByPasskeyInput!) { reauthenticateByPasskey(input: $input) { __typename } }"
    assert (await buyer.data(query, input=given))["reauthenticateByPasskey"]["__typename"] == "Reauthenticated"


async def standings(shop: Shop, full: Buyer, empty: Buyer, now: datetime) -> None:
    """A buyer who is warned, and whose appeal was rejected after a question; one who is blocked; and cases."""
    decided = {"reason": "RULES", "text": "Осторожно 🙂"}
    await put(shop, "setStandings", [
        {"externalId": "full", "accountExternalId": full.external_id, "level": "WARNED", "until": (now + 90 * DAY).isoformat(), **decided},
        {"externalId": "empty", "accountId": empty.id, "level": "BLOCKED", **decided},
    ])  # fmt: skip
    query = 'mutation { appeal(input: {text: "Нет\\n灯"}) { ... on AppealOpened { appeal { id } } } }'
    appeal = (await full.data(query))["appeal"]["appeal"]["id"]
    assert (await empty.data(query))["appeal"]["appeal"]
    other = await shop.staff_with("standing")
    move = "mutation($rows: [AppealRow!]!) { decideAppeals(input: {rows: $rows}) { results { status } } }"
    for state in ("IN_REVIEW", "NEEDS_INFO", "REJECTED"):
        answer = await other.data(move, rows=[{"appealId": appeal, "state": state, "text": "?"}])
        assert answer["decideAppeals"]["results"] == [{"status": "UPDATED"}]
    ids = {local_id(buyer.id, "Account"): buyer for buyer in (full, empty)}
    found = [Finding(one, Signal.DISPUTES, {"orders": 5, "disputed": 3, "evidence": [1, 2, 3]}) for one in ids]
    await propose([*found, Finding(min(ids), Signal.SHARED_PHONE, {"accounts": 1, "offers": [1], "evidence": [max(ids)]})], now)
    listed = await other.data("{ standingCases(first: 1) { edges { node { id } } } }")
    dismiss = "mutation($rows: [CaseRow!]!) { decideCases(input: {rows: $rows}) { results { status } } }"
    await other.data(dismiss, rows=[{"caseId": listed["standingCases"]["edges"][0]["node"]["id"]}])


@unit_of_work
async def plan_deletion(work: Work, account_id: int, now: datetime) -> None:
    """As deleteAccount does, which would sign the buyer out and not be done with this money held."""
    await work.execute("INSERT INTO account_deletion (account_id, requested_at, erase_at) VALUES ($1, $2, $3)", account_id, now, now + 7 * DAY)


async def leaving(shop: Shop, buyer: Buyer, now: datetime) -> None:
    """A copy of the buyer's data that is ready, and an end of the account."""
    answer = await buyer.data("mutation { exportMyData { __typename } }")
    assert answer["exportMyData"]["__typename"] == "DataExportRequested"
    await shop.work()
    viewer = await shop.service.viewer(Credentials(bearer=buyer.token))
    await plan_deletion(viewer.require_buyer(), now)


LISTS = ("favorites", "priceDrops", "coupons", "orders", "conversations")


async def known(buyer: Buyer) -> Known:
    """The ids and cursors that the buyer can see, and some that nobody can."""
    found = Known(searches={"products": ["лампа", "灯", "%", "zzz"], "orders": ["лампа", "ord-", "zzz"]})
    parts = " ".join(f"{name}(first: 100) {{ edges {{ cursor node {{ __typename {'' if name == 'priceDrops' else 'id'} }} }} }}" for name in LISTS)
    answer = await buyer.data(f"""{{ me {{ __typename id {parts} talks: conversations {{ edges {{ node {{ messages {{ edges {{ cursor node {{ __typename id }} }} }} }} }} }} }}
        products(first: 100) {{ edges {{ cursor node {{ __typename id store {{ __typename id }} }} }} }} }}""")
    pages = [(name, answer["me"][name]) for name in LISTS] + [("products", answer["products"])]
    pages += [("messages", talk["node"]["messages"]) for talk in answer["me"]["talks"]["edges"]]
    for name, page in pages:
        found.cursors.setdefault(name, ["nonsense"]).extend(edge["cursor"] for edge in page["edges"])
        for edge in page["edges"]:
            for row in (edge["node"], edge["node"].get("store")):
                if row and "id" in row:
                    found.ids.setdefault(row["__typename"], []).append(row["id"])
    found.ids["Account"] = [answer["me"]["id"]]
    found.ids["Nothing"] = ["UHJvZHVjdDo5OTk5OTk=", "nonsense", ""]
    return found
