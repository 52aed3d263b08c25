"""What is thrown away, and what is not."""

from datetime import timedelta

from models.captcha import UsedCaptcha
from models.email_changes import EmailChange
from models.instants import utc_now
from models.outbox import OutboxMessage
from models.passkeys import PasskeyChallenge
from models.passwords import PasswordReset
from models.sessions import Guess, Session
from models.sign_up import SignUp
from resolvers.housekeeping import forget_old
from tests.rows import change
from tests.shop import Shop


async def test_links_and_captchas_go_once_they_are_too_old(shop: Shop) -> None:
    at = utc_now()
    for name, ends_at in (("old", at - timedelta(seconds=1)), ("young", at + timedelta(minutes=1))):
        await change("INSERT INTO used_captcha (signature_hash, ends_at) VALUES ($1, $2)", name, ends_at)
        await change("INSERT INTO passkey_challenge (challenge_hash, ends_at) VALUES ($1, $2)", name, ends_at)
        await change(
            "INSERT INTO email_change (account_id, token_hash, email, subject, asked_at, ends_at) "
            "SELECT id, $1, 'x', 'x', $2, $3 FROM account WHERE external_id = $4", name, at, ends_at, (await shop.buyer()).external_id,
        )  # fmt: skip
        await change("INSERT INTO password_reset (token_hash, ends_at) VALUES ($1, $2)", name, ends_at)
        await change(
            "INSERT INTO sign_up (token_hash, browser_hash, subject, email, display_name, password_hash, terms_version, language, region, currency, created_at, ends_at) "
            "VALUES ($1, 'x', 'x', 'x', 'x', 'x', '1', 'en', 'US', 'USD', $2, $3)", name, at, ends_at,
        )  # fmt: skip
    assert await forget_old(at) is False
    tables = ((UsedCaptcha, "signature_hash"), (PasswordReset, "token_hash"), (PasskeyChallenge, "challenge_hash"), (SignUp, "token_hash"), (EmailChange, "token_hash"))
    assert [await rows.all().values_list(key, flat=True) for rows, key in tables] == [["young"]] * 5
    await change("DELETE FROM session")


async def test_letters_that_were_given_up_go_after_a_month(shop: Shop) -> None:
    at = utc_now()
    for age in (29, 31):
        await change(
            "INSERT INTO outbox (message_id, kind, payload, wanted_at, attempts, dead_at) VALUES ($1, 'mail', '{}', $2, 1, $2)",
            f"dead {age}", at - timedelta(days=age),
        )  # fmt: skip
    await forget_old(at)
    assert await OutboxMessage.filter(message_id__startswith="dead").values_list("message_id", flat=True) == ["dead 29"]


async def test_old_counters_and_sessions_go_and_young_ones_stay(shop: Shop) -> None:
    old, young = await shop.buyer(), await shop.buyer()
    at = utc_now()
    await change("UPDATE session SET ends_at = $1 WHERE id = (SELECT min(id) FROM session)", at - timedelta(days=31))
    await change("DELETE FROM guess")
    for key, age in (("account:old", 25), ("account:young", 1)):
        await change("INSERT INTO guess (key, failures, first_at) VALUES ($1, 1, $2)", key, at - timedelta(hours=age))
    assert await forget_old(at) is False
    assert await Guess.all().values_list("key", flat=True) == ["account:young"]
    assert await Session.all().count() == 1
    assert await old.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    assert (await young.data("{ me { id } }"))["me"]["id"] == young.id
