"""Finding an account by the number of an order or a parcel: its contacts on file are told how it is signed in to.

Whoever asks learns nothing, also not by how long it takes: the number is only written down, and the worker looks it up.
"""

from datetime import timedelta
from typing import Any, NamedTuple

from auth.captcha import Solved, check_captcha, spend_captcha
from auth.guessing import count_request, require_few, subject_of
from auth.passwords import Passwords
from auth.phone_codes import count_sms, most_sms
from auth.viewer import Viewer
from models.accounts import IdentityKind, as_proved
from models.database import any_of, fetch, opened
from models.find_account import LONGEST_NUMBER, spellings, told_ways
from models.instants import utc_now
from models.letters import mail, sms
from models.refusals import BadUserInput
from models.unit_of_work import Work, unit_of_work
from settings import Settings

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OF_NETWORK_AN_HOUR, OF_NUMBER_A_DAY, MESSAGES_OF_ACCOUNT_A_DAY = 10, 5, 3
MOST_OWNERS = 10


class Owner(NamedTuple):
    """An account that a number is of, with the ways of signing in that are proved, the oldest first."""

    account_id: int
    email: str | None
    language: str
    ways: list[tuple[IdentityKind, str]]

    def subject(self, kind: IdentityKind) -> str | None:
        return next((subject for known, subject in self.ways if known is kind), None)


async def find_account(viewer: Viewer, settings: Settings, passwords: Passwords, number: str, captcha: str) -> None:
    """Have the owners of an order's or a parcel's number told how they sign in, if there are any.

    Raises:
        BadUserInput, CaptchaFailed. Failure: RATE_LIMITED, the network has asked too often.
    """
    number = number.strip()
    if not number or len(number) > LONGEST_NUMBER or not number.isprintable():
        raise BadUserInput(field="number")
    await require_few("find", viewer.address, OF_NETWORK_AN_HOUR, HOUR)
    await _write_down(number, await check_captcha(settings, passwords, captcha))


@unit_of_work
async def _write_down(work: Work, number: str, solved: Solved) -> None:
    await spend_captcha(work, solved)
    if await count_request(f"find-number:{subject_of(number)}", OF_NUMBER_A_DAY, DAY):
        return
    await work.execute("INSERT INTO account_search (number, asked_at) VALUES ($1, $2)", number, utc_now())
    work.announce("work")


async def tell_owners() -> bool:
    """Look up the number that waits longest, and tell its owners. False when none waits."""
    return bool(await fetch("SELECT 1 FROM account_search LIMIT 1")) and await _tell_owners()


@unit_of_work
async def _tell_owners(work: Work) -> bool:
    found = await work.fetch("DELETE FROM account_search WHERE id = (SELECT min(id) FROM account_search) RETURNING number")
    if not found:
        return False
    for owner in await _owners(work, found[0][0]):
        await _tell(work, owner)
    return True


async def _owners(work: Work, number: str) -> list[Owner]:
    found = await work.fetch(
        f"SELECT account_id FROM orders WHERE {any_of('number_folded', 1, 'text')} UNION SELECT o.account_id FROM shipment s "
        f"JOIN orders o ON o.id = s.order_id WHERE {any_of('s.tracking_number', 1, 'text')} ORDER BY 1 LIMIT {MOST_OWNERS}",
        spellings(number),
    )
    rows: Any = await work.fetch(
        "SELECT a.id, a.email, a.language, i.kind, i.subject FROM account a JOIN identity i ON i.account_id = a.id "
        f"WHERE {any_of('a.id', 1)} AND i.verified_at IS NOT NULL ORDER BY a.id, i.id",
        [account_id for (account_id,) in found],
    )
    owners: dict[int, Owner] = {}
    for account_id, email, language, kind, subject in rows:
        owners.setdefault(account_id, Owner(account_id, email, language, [])).ways.append((IdentityKind(kind), subject))
    return list(owners.values())


async def _tell(work: Work, owner: Owner) -> None:
    """By mail to the proved address; by text message where only a number is proved."""
    subject, phone = owner.subject(IdentityKind.EMAIL), owner.subject(IdentityKind.PHONE)
    if subject is None and phone is None:
        return
    if await count_request(f"found:{owner.account_id}", MESSAGES_OF_ACCOUNT_A_DAY, DAY):
        return
    work.record(None, "account_searched", "account", owner.account_id)
    if subject is not None:
        mail(work, "found_account", as_proved(subject, owner.email), owner.language, account_id=owner.account_id, ways=told_ways(owner.ways))
    elif phone is not None and not await count_sms(most_sms(opened().settings, is_owner=False)):
        sms(work, "found_account_sms", phone, owner.language, account_id=owner.account_id, ways=told_ways(owner.ways))
