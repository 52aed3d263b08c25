"""What is thrown away: rows that have had their use and that no promise keeps. Times are the machine's."""

from datetime import datetime, timedelta

from auth.second_factor import renew_secrets
from delivery.outbox import forget_sent
from models.database import opened
from models.instants import utc_now
from models.second_factor import ENROLMENT_LASTS
from models.unit_of_work import Work, unit_of_work

EVERY = timedelta(hours=1)
COUNTERS_KEPT = timedelta(days=1)  # as long as the longest window that is counted in
ENDED_SESSIONS_KEPT = timedelta(days=30)
DEVICES_KEPT = timedelta(days=365)
DEAD_LETTERS_KEPT = timedelta(days=30)
AT_ONCE = 1000

_tidied_at: list[datetime] = []


async def tidy() -> bool:
    """Once an hour: forget counters of guesses, sessions long ended, what was begun and given up (codes, links, captchas,
    challenges, sign-ins by providers), browsers long unseen, exports not taken, and messages long sent or given up; encrypt
    anew what the service's former secret still keeps."""
    at = utc_now()
    if _tidied_at and at < _tidied_at[0] + EVERY:
        return False
    _tidied_at[:] = [at]
    while await forget_old(at):
        pass
    await forget_sent()
    await renew_secrets(opened().settings)
    return False


@unit_of_work
async def forget_old(work: Work, at: datetime) -> bool:
    """Some of what may go; whether there may be more."""
    gone = [
        await work.execute(
            f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} LIMIT {AT_ONCE})", at - kept
        )
        for table, key, condition, kept in (
            ("guess", "key", "first_at < $1", COUNTERS_KEPT),
            ("session", "id", "ends_at < $1", ENDED_SESSIONS_KEPT),
            ("phone_code", "id", "ends_at < $1", timedelta(0)),
            ("known_device", "id", "at < $1", DEVICES_KEPT),
            ("provider_sign_in", "id", "ends_at < $1", timedelta()),
            ("second_factor_challenge", "id", "ends_at < $1", timedelta(0)),
            ("second_factor", "account_id", "begun_at < $1 AND enabled_at IS NULL", ENROLMENT_LASTS),
            ("passkey_challenge", "challenge_hash", "ends_at < $1", timedelta(0)),
            ("used_captcha", "signature_hash", "ends_at < $1", timedelta(0)),
            ("sign_up", "id", "ends_at < $1", timedelta(0)),
            ("password_reset", "id", "ends_at < $1", timedelta(0)),
            ("account_search", "id", "asked_at < $1", timedelta(days=1)),
            ("email_change", "account_id", "ends_at < $1", timedelta(0)),
            ("outbox", "id", "dead_at < $1", DEAD_LETTERS_KEPT),
            ("data_export", "id", "ends_at < $1", timedelta(0)),
        )
    ]
    return max(gone) == AT_ONCE
