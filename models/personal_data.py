"""What is kept of a buyer: for every table which rows are theirs, what of them an export tells, and what an erasure does.

A new table is one entry, tables that name another one before it. tests/models/test_personal_data.py goes through the
schema of both databases and fails where a table or a column that names an account is missing here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from models.database import dialect


class Owner(NamedTuple):
    """A buyer as conditions name them: ACCOUNT, the id; ADDRESSES, the e-mail addresses and numbers in small letters;
    HASHES, what stands for those and for known browsers in counters."""

    account_id: int
    addresses: list[str]
    hashes: list[str]


@dataclass(frozen=True, slots=True)
class Personal:
    """One table. `rows`: the SQL condition for a buyer's rows; None: it holds nobody's.

    `erased`: DELETE, or for rows that stay the columns that are blanked, with the SQL of what stands there then; `keeps`
    names every other column with text. `secret` is never exported. `addresses` and `hashes` are columns that tell more of
    the buyer's ADDRESSES and HASHES. `unlike`: columns that are called as an account's and are none.
    """

    rows: str | None
    erased: Literal["DELETE"] | Mapping[str, str] = "DELETE"
    keeps: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    unlike: tuple[str, ...] = field(default=())


OWN = "account_id = ACCOUNT"
OF_ORDERS = "order_id IN (SELECT id FROM orders WHERE account_id = ACCOUNT)"
OF_SHIPMENTS = "shipment_id IN (SELECT s.id FROM shipment s JOIN orders o ON o.id = s.order_id WHERE o.account_id = ACCOUNT)"
MADE_BY_OR_ABOUT = "(actor_kind = 'buyer' AND actor_id = ACCOUNT) OR (subject_kind = 'account' AND subject_id = ACCOUNT)"
POSTED_TO = "lower(payload ->> 'to') IN ADDRESSES OR CAST(payload ->> 'account_id' AS bigint) = ACCOUNT"
COUNTED = "substr(key, length(key) - 63) IN HASHES OR key LIKE '%proof:' || CAST(CAST(ACCOUNT AS bigint) AS text)"
NOBODYS = Personal(None)
NOTHING: Mapping[str, str] = {}

TABLES: dict[str, Personal] = {
    # Letters on their way hold codes and links, and so does the demo's mailbox: an export does not.
    "outbox": Personal(POSTED_TO, secret=("payload", "last_error")),
    "letter": Personal("lower(recipient) IN ADDRESSES", secret=("text", "html")),
    # A counter's key tells the network address of whoever guessed.
    "guess": Personal(COUNTED, secret=("key",)),
    # How the account is signed in to: before its sessions, so that a sign-in that comes at the same time waits, and fails.
    "password": Personal(OWN, secret=("hash",)),
    "passkey": Personal("identity_id IN (SELECT id FROM identity WHERE account_id = ACCOUNT)", secret=("credential_id", "public_key")),
    "passkey_holder": Personal(OWN, secret=("handle",)),
    "passkey_challenge": Personal(OWN, secret=("challenge_hash",)),
    "recovery_code": Personal(OWN, secret=("code_hash",)),
    "second_factor_challenge": Personal(OWN, secret=("challenge_hash", "device_hash")),
    "second_factor": Personal(OWN, secret=("sealed_secret", "sealed_by", "last_step")),
    # Not among ADDRESSES: nobody has proved it, and it may be somebody else's.
    "email_change": Personal(OWN, secret=("token_hash", "subject")),
    "given_contacts": Personal(OWN),
    "identity": Personal(OWN, addresses=("subject",)),
    "phone_code": Personal(f"{OWN} OR phone IN ADDRESSES", secret=("challenge_hash", "code_hmac")),
    "password_reset": Personal(OWN, secret=("token_hash",)),
    "sign_up": Personal("subject IN ADDRESSES", secret=("token_hash", "browser_hash", "password_hash")),
    "provider_sign_in": Personal(
        "session_id IN (SELECT id FROM session WHERE account_id = ACCOUNT)", secret=("state_hash", "browser_hash")
    ),
    "refresh_token": Personal(
        "session_id IN (SELECT id FROM session WHERE account_id = ACCOUNT)", secret=("family_hash", "token_hash", "previous_hash", "salt")
    ),
    "session": Personal(OWN, secret=("token_hash",)),
    "known_device": Personal(OWN, secret=("token_hash",), hashes=("token_hash",)),
    "terms_acceptance": Personal(OWN),
    "data_export": Personal(OWN, secret=("token_hash", "content")),
    "account_deletion": Personal(OWN),
    "favorite": Personal(OWN),
    "price_drop": Personal(OWN),
    "event": Personal(OWN),
    "account_event_counter": Personal(OWN, NOTHING),
    # Sellers call buyers by their names: their half goes too.
    "message": Personal(OWN, {"text": "''", "external_id": "NULL"}, keeps=("author",)),
    "conversation": Personal(OWN, NOTHING, keeps=("kind",)),
    "activity": Personal(MADE_BY_OR_ABOUT, {"details": "'{}'"}, keeps=("actor_kind", "verb", "subject_kind")),
    "coupon": Personal(OWN, NOTHING, keeps=("external_id", "issuer", "titles", "currency")),
    "tracking_event": Personal(OF_SHIPMENTS, {"place": "NULL"}, keeps=("status", "region")),
    "shipment_item": Personal(OF_SHIPMENTS, NOTHING),
    "shipment": Personal(OF_ORDERS, NOTHING, keeps=("tracking_number", "carrier")),
    "protection_extension": Personal(OF_ORDERS, {"reason": "NULL"}, keeps=("by",)),
    "given_facts": Personal(OF_ORDERS),
    "order_item": Personal(OF_ORDERS, NOTHING, keeps=("title", "title_folded", "currency")),
    "orders": Personal(
        OWN,
        {"address": "NULL"},
        keeps=("external_id", "number", "number_folded", "region", "currency", "completion", "cancellation"),
    ),
    "appeal_message": Personal(OWN, {"text": "''"}, keeps=("author",)),
    "appeal": Personal(OWN, NOTHING, keeps=("state",)),
    "standing_change": Personal(OWN, {"text": "NULL"}, keeps=("external_id", "level", "reason")),
    "standing_case": Personal(OWN, NOTHING, keeps=("signal", "state", "facts"), secret=("facts",)),  # facts name other buyers
    "erasure": Personal(OWN, NOTHING, keeps=("external_id_hash",), secret=("external_id_hash",)),
    "account": Personal(
        "id = ACCOUNT",
        {"external_id": "NULL", "display_name": "''", "email": "NULL", "phone": "NULL"},
        keeps=("language", "region", "currency", "standing_level", "standing_reason", "standing_text"),  # CLOSED, without the others
        addresses=("email", "phone"),
    ),
    "timer": NOBODYS,
    "account_search": NOBODYS,
    "fan_out": Personal(None, unlike=("account_id",)),  # how far a price's way through all favourites has come
    "store": NOBODYS,
    "product": NOBODYS,
    "price_point": NOBODYS,
    "coupon_offer": NOBODYS,
    "staff_token": NOBODYS,
    "service_key": NOBODYS,
    "used_captcha": NOBODYS,
    "domain_clock": NOBODYS,
}


def bound(sql: str, owner: Owner) -> tuple[str, list[Any]]:
    """SQL that names the owner, with parameters instead."""
    values = {"ACCOUNT": owner.account_id, "ADDRESSES": owner.addresses, "HASHES": owner.hashes}
    used = list(dict.fromkeys(re.findall(r"\b(ACCOUNT|ADDRESSES|HASHES)\b", sql)))
    elements = "(SELECT value FROM json_each(${n}))" if dialect() == "sqlite" else "(SELECT unnest(${n}::text[]))"

    def place(found: re.Match[str]) -> str:
        n = used.index(found[0]) + 1
        return f"${n}" if found[0] == "ACCOUNT" else elements.replace("{n}", str(n))

    return re.sub(r"\b(ACCOUNT|ADDRESSES|HASHES)\b", place, sql), [values[name] for name in used]


def erasing(table: str, personal: Personal) -> str | None:
    """The statement that erases a buyer's rows of a table; None: they stay as they are. A second time it touches none."""
    if personal.rows is None or not personal.erased:
        return None
    if personal.erased == "DELETE":
        return f"DELETE FROM {table} WHERE {personal.rows}"
    assert isinstance(personal.erased, Mapping)
    assignments = ", ".join(f"{column} = {value}" for column, value in personal.erased.items())
    different = " OR ".join(f"{column} IS DISTINCT FROM {value}" for column, value in personal.erased.items())
    return f"UPDATE {table} SET {assignments} WHERE ({personal.rows}) AND ({different})"
