"""What a table must hold to, beyond what Tortoise's models can say."""

from tortoise import migrations
from tortoise.migrations.operations import RunPython

from models.constraints import check, index, kept_for, never_changed, never_deleted, statements
from models.events import EVENT_TABLE

COUPON_LASTING = [
    *("id", "external_id", "account_id", "offer_id", "issuer", "store_id", "titles", "currency", "amount_off_minor"),
    *("percent_off", "maximum_off_minor", "minimum_spend_minor", "issued_at"),
]

STANDING_LASTING = ["id", "external_id", "account_id", "level", "reason", "staff_id", "at", "until"]  # not the text: it is erased with its buyer

# With what an order's status is told by in the index, counting a buyer's orders reads none of them. SQLite wants the columns
# of the condition in it too.
STATUS_FACTS = (
    "cancelled_at, closed_at, completed_at, shipped_at, ends_at, frozen_at, paid_at, pay_by_at, payment_held_at, "
    "payment_cleared_at, ship_by_at, wholly_shipped_at, delivered_at"
)


def coupon_value(table: str) -> list[RunPython]:
    """What a value is: one kind of it, above zero, its amounts in a currency."""
    off, percent, most, least = "amount_off_minor", "percent_off", "maximum_off_minor", "minimum_spend_minor"
    return [
        check(f"{table}_one_value", table, f"({off} IS NULL) <> ({percent} IS NULL)", [off, percent]),
        check(f"{table}_percent", table, f"{percent} BETWEEN 1 AND 100", [percent]),
        check(f"{table}_maximum", table, f"{most} IS NULL OR {percent} IS NOT NULL", [most, percent]),
        check(f"{table}_positive", table, f"coalesce({off}, 1) > 0 AND coalesce({most}, 1) > 0 AND coalesce({least}, 1) > 0", [off, most, least]),
        check(f"{table}_currency", table, f"currency IS NOT NULL OR coalesce({off}, {most}, {least}) IS NULL", ["currency", off, most, least]),
    ]


class Migration(migrations.Migration):
    dependencies = [("models", "0001_tables")]

    operations = [
        statements(sqlite=[EVENT_TABLE["sqlite"]], postgres=[EVENT_TABLE["postgres"]]),
        check("product_price_positive", "product", "price_minor > 0", ["price_minor"]),
        index("price_point_lowest", "price_point", "product_id, at, price_minor"),
        check("price_point_positive", "price_point", "price_minor > 0", ["price_minor"]),
        check("favorite_percent", "favorite", "watch_percent BETWEEN 1 AND 99", ["watch_percent"]),
        check("favorite_target_positive", "favorite", "watch_target_minor > 0", ["watch_target_minor"]),
        check("price_drop_falls", "price_drop", "new_minor < old_minor", ["new_minor", "old_minor"]),
        check("orders_amounts", "orders", "total_minor >= 0 AND discount_minor >= 0", ["total_minor", "discount_minor"]),
        check("orders_end_once", "orders", "(cancelled_at IS NULL OR completed_at IS NULL) AND (closed_at IS NULL OR coalesce(cancelled_at, completed_at) IS NULL)", ["cancelled_at", "completed_at", "closed_at"]),
        check("orders_shipped", "orders", "(shipped_at IS NULL) = (ends_at IS NULL) AND (shipped_at IS NOT NULL OR coalesce(wholly_shipped_at, delivered_at) IS NULL)", ["shipped_at", "ends_at", "wholly_shipped_at", "delivered_at"]),
        check("orders_ship_by", "orders", "paid_at IS NULL OR ship_by_at IS NOT NULL OR payment_held_at IS NOT NULL", ["paid_at", "ship_by_at", "payment_held_at"]),
        check("orders_frozen", "orders", "(frozen_at IS NULL) = (kept_seconds IS NULL) AND coalesce(kept_seconds, 0) >= 0", ["frozen_at", "kept_seconds"]),
        check("order_item_quantity", "order_item", "quantity > 0 AND price_minor >= 0", ["quantity", "price_minor"]),
        check("shipment_item_quantity", "shipment_item", "quantity > 0", ["quantity"]),
        check("protection_extension_days", "protection_extension", "days BETWEEN 1 AND 60", ["days"]),
        index("orders_open", "orders", f"account_id, placed_at, id, {STATUS_FACTS}", where="cancelled_at IS NULL AND closed_at IS NULL AND completed_at IS NULL"),
        index("orders_not_done", "orders", "account_id, placed_at, id, completed_at, closed_at", where="coalesce(completed_at, closed_at) IS NULL"),
        index("orders_disputed", "orders", "account_id, placed_at, id, frozen_at", where="frozen_at IS NOT NULL"),
        index("orders_closed", "orders", "account_id, closed_at", where="closed_at IS NOT NULL"),
        index("orders_completed", "orders", "account_id, completed_at", where="completed_at IS NOT NULL"),
        index("protection_extension_open", "protection_extension", "order_id", where="granted_at IS NULL AND declined_at IS NULL AND lapsed_at IS NULL", unique=True),
        *coupon_value("coupon_offer"),
        never_deleted("coupon_offer", unique=["id", "external_id"]),
        *coupon_value("coupon"),
        check("coupon_window", "coupon", "starts_at < ends_at", ["starts_at", "ends_at"]),
        check("coupon_held", "coupon", "(order_id IS NULL) = (reserved_at IS NULL) AND (order_id IS NULL) = (reserved_until IS NULL)", ["order_id", "reserved_at", "reserved_until"]),
        check("coupon_used", "coupon", "used_at IS NULL OR reserved_at IS NOT NULL", ["used_at", "reserved_at"]),
        index("coupon_free", "coupon", "account_id, ends_at, id", where="used_at IS NULL AND revoked_at IS NULL"),
        never_deleted("coupon", unique=["id", "external_id"]),
        never_changed("coupon", COUPON_LASTING),
        kept_for("account", "coupon", "account_id"),
        index("conversation_of_order", "conversation", "order_id", unique=True),
        index("conversation_of_promotions", "conversation", "account_id, store_id", "kind = 'PROMOTION'", unique=True),
        index("conversation_spoken", "conversation", "account_id, last_message_at, id", "last_message_at IS NOT NULL"),
        index("conversation_promoted", "conversation", "account_id, last_message_at, id", "kind = 'PROMOTION'"),
        check("conversation_place", "conversation", "(kind = 'ORDER') = (order_id IS NOT NULL)", ["kind", "order_id"]),
        index("message_unread", "message", "account_id, conversation_id, author, read_at", "author = 'SELLER' AND read_at IS NULL"),
        index("account_phone", "account", "phone", "phone IS NOT NULL"),
        check("account_standing", "account", "(standing_level IN ('GOOD', 'CLOSED')) = (standing_reason IS NULL) AND (standing_reason IS NULL OR standing_since IS NOT NULL)", ["standing_level", "standing_reason", "standing_since"]),
        never_deleted("standing_change", unique=["id", "external_id"]),
        never_changed("standing_change", STANDING_LASTING),
        index("standing_case_open", "standing_case", "account_id, signal", "state = 'OPEN'", unique=True),
        index("standing_case_of", "standing_case", "account_id, signal, id"),
        index("standing_case_listed", "standing_case", "opened_at, id"),
        check("standing_case_closed", "standing_case", "(state = 'OPEN') = (closed_at IS NULL)", ["state", "closed_at"]),
        index("appeal_open", "appeal", "account_id", "state IN ('OPEN', 'IN_REVIEW', 'NEEDS_INFO')", unique=True),
        index("appeal_listed", "appeal", "opened_at, id"),
        check("appeal_decided", "appeal", "(state IN ('GRANTED', 'REJECTED')) = (decided_at IS NOT NULL)", ["state", "decided_at"]),
        index("message_sent", "message", "account_id, sent_at", "author = 'BUYER'"),
    ]
