"""The service's secret: kept texts say nothing without it, and it is changed without a moment at which anything is lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth.captcha import captcha_challenge, check_captcha
from auth.keys import Undecipherable, decrypt, encrypt, key_for, keys_for, renewed
from auth.passwords import Passwords
from models.database import fetch
from models.refusals import CaptchaFailed
from settings import Settings
from tests.auth.test_captcha import payload, sent, solvable
from tests.databases import BOTH, migrated_database, settings_for

OLD, NEW, STRANGE = "o" * 32, "n" * 32, "s" * 32


def with_secrets(secret: str, previous: str = "") -> Settings:
    return settings_for("sqlite:///unused.db", secret_key=secret, secret_key_previous=previous)


BEFORE, MEANWHILE, AFTER = with_secrets(OLD), with_secrets(NEW, OLD), with_secrets(NEW)


@pytest.fixture(params=BOTH)
async def kept_by_the_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Settings]:
    async with migrated_database(request.param, tmp_path) as database:
        yield database.settings


async def test_a_kept_text_is_read_by_its_purpose_alone() -> None:
    kept = await encrypt("totp:17", "JBSWY3DPEHPK3PXP Ж", BEFORE)
    assert "JBSWY" not in kept and kept != await encrypt("totp:17", "JBSWY3DPEHPK3PXP Ж", BEFORE)
    assert await decrypt("totp:17", kept, BEFORE) == "JBSWY3DPEHPK3PXP Ж"
    middle = len(kept) // 2
    changed = kept[:middle] + ("A" if kept[middle] != "A" else "B") + kept[middle + 1 :]
    for purpose, text in (("totp:18", kept), ("totp:17", changed), ("totp:17", ""), ("totp:17", "é"), ("totp:17", kept[:20])):
        with pytest.raises(Undecipherable):
            await decrypt(purpose, text, BEFORE)


async def test_a_text_outlives_the_change_of_the_secret_and_its_renewal_the_old_secret() -> None:
    kept = await encrypt("totp:17", "secret", BEFORE)
    assert await decrypt("totp:17", kept, MEANWHILE) == "secret"
    again = await renewed("totp:17", kept, MEANWHILE)
    assert await decrypt("totp:17", again, AFTER) == "secret"
    for text, settings in ((kept, AFTER), (again, BEFORE), (kept, with_secrets(STRANGE))):
        with pytest.raises(Undecipherable):
            await decrypt("totp:17", text, settings)


async def test_the_secret_before_is_never_made_with() -> None:
    assert await key_for("captcha", MEANWHILE) == await key_for("captcha", AFTER)
    assert await decrypt("totp", await encrypt("totp", "secret", MEANWHILE), AFTER) == "secret"
    assert await keys_for("captcha", MEANWHILE) == [*await keys_for("captcha", AFTER), *await keys_for("captcha", BEFORE)]


async def test_a_captcha_that_is_being_solved_counts_after_the_change_and_not_once_the_old_secret_is_dropped() -> None:
    passwords = Passwords(BEFORE)
    old, new = [sent(payload(solvable(await captcha_challenge(settings)))) for settings in (BEFORE, MEANWHILE)]
    for solution in (old, new):
        await check_captcha(MEANWHILE, passwords, solution)
    await check_captcha(AFTER, passwords, new)
    for solution, settings in ((old, AFTER), (new, BEFORE), (old, with_secrets(NEW, STRANGE))):
        with pytest.raises(CaptchaFailed):
            await check_captcha(settings, passwords, solution)
    passwords.close()


async def test_a_service_that_ran_without_a_secret_goes_on_with_the_one_in_its_database(kept_by_the_database: Settings) -> None:
    kept = await encrypt("totp", "secret", kept_by_the_database)
    with pytest.raises(Undecipherable):
        await decrypt("totp", kept, AFTER)
    ((own,),) = await fetch("SELECT secret FROM service_key")
    given = kept_by_the_database.model_copy(update={"secret_key": SecretStr(NEW), "secret_key_previous": SecretStr(own)})
    assert await decrypt("totp", kept, given) == "secret"
