"""The demo world's conversations: about orders, and promotions apart from them."""

from datetime import datetime, timedelta

from demo import orders
from models.messages import ConversationKind
from resolvers.seller_messages import GivenMessage

ABOUT_ORDERS = {
    "in-transit": (("Посылка уже в пути, номер для отслеживания — в заказе.", "Your parcel is on its way; the tracking number is in the order.", 19.5),),
    "delivered": (
        ("Спасибо за заказ!", "Thank you for your order!", 24.0),
        ("Посылка доставлена. Всё ли в порядке?", "Your parcel has arrived. Is everything all right?", 1.9),
    ),
    "paid": (("Заказ собираем, отправим завтра.", "We are packing your order and ship it tomorrow.", 1.0),),
}
PROMOTIONS = (
    ("demo-store-1", "Неделя света: скидки до 30 % на лампы.", "A week of light: up to 30 % off lamps.", 6.0),
    ("demo-store-3", "Новые пледы уже на полке.", "New blankets are on the shelf.", 2.5),
)


def messages(buyer: str, now: datetime) -> list[GivenMessage]:
    """What sellers have written to the buyer."""
    language = 1 if buyer == "vera" else 0
    stores = {tale.name: orders.store_of(buyer, tale) for tale in orders.TALES}
    return [
        GivenMessage(
            f"demo-message-{buyer}-{tale}-{place}", buyer, stores[tale], (ru, en)[language],
            order_external_id=orders.external_id(buyer, tale), sent_at=now - timedelta(days=days),
        )
        for tale, all_said in ABOUT_ORDERS.items()
        for place, (ru, en, days) in enumerate(all_said)
    ] + [
        GivenMessage(
            f"demo-promotion-{buyer}-{store}", buyer, store, (ru, en)[language], kind=ConversationKind.PROMOTION, sent_at=now - timedelta(days=days)
        )
        for store, ru, en, days in PROMOTIONS
    ]  # fmt: skip
