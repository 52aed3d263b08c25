"""Sessions of apps from outside: signing in, turning, what a theft does, and that they are sessions like any other."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from auth.sessions import token_hash
from models.activity import Activity
from models.database import fetch
from models.instants import utc_now
from models.sessions import KnownDevice, RefreshToken, Session
from tests.resolvers.apps import INVALID, ME, REFRESH, SIGN_IN, App, app_of
from tests.resolvers.test_passwords import OTHER, changed
from tests.resolvers.test_phone_codes import ANNA, VERIFY, sent
from tests.resolvers.test_sessions import ELSEWHERE, REVOKE, sessions_of
from tests.rows import change, letters
from tests.shop import PASSWORD, Shop
from tests.traffic import forget_traffic


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def told(app: App) -> list[dict[str, Any]]:
    """The mails of tokens that were used twice."""
    return [letter for letter in await letters(app.buyer.email) if letter["template"] == "refresh_reuse"]


async def later(app: App, seconds: float) -> None:
    """The app's last turn lies so far back."""
    row = await app.row()
    await change("UPDATE refresh_token SET turned_at = $1 WHERE session_id = $2", utc_now() - timedelta(seconds=seconds), row.id)


# ---------------------------------------------------------------- signing in


async def test_an_app_gets_two_tokens_and_no_cookie(shop: Shop) -> None:
    buyer = await shop.buyer()
    devices, began = await KnownDevice.all().count(), utc_now()
    answer = await shop.nobody.post(SIGN_IN, input={"email": buyer.email, "password": PASSWORD, "transport": "APP"})
    assert "set-cookie" not in answer.headers and await KnownDevice.all().count() == devices
    told = answer.json()["data"]["signIn"]
    until = datetime.fromisoformat(told.pop("accessTokenExpiresAt"))
    app = App(shop, buyer, told)
    assert told == {
        "__typename": "SignedInApp", "accessToken": app.token, "refreshToken": app.refresh_token,
        "account": {"id": buyer.id, "displayName": f"Buyer {buyer.external_id.removeprefix('buyer-')}"},
    }  # fmt: skip
    assert timedelta(minutes=5) <= until - began < timedelta(minutes=6)
    assert (await app.data(ME))["me"] == {"id": buyer.id}
    assert (await app.row()).access_until == until


async def test_a_browser_is_what_nobody_asks_for_otherwise(shop: Shop) -> None:
    buyer = await shop.buyer()
    for given in ({}, {"transport": "BROWSER"}):
        answer = await shop.nobody.post(SIGN_IN, input={"email": buyer.email, "password": PASSWORD, **given})
        shop.http.cookies.clear()
        assert answer.json()["data"]["signIn"]["__typename"] == "SignedIn" and "set-cookie" in answer.headers
    kept = await RefreshToken.all().count(), await Session.all().count()
    refused = await shop.nobody.data(SIGN_IN, input={"email": buyer.email, "password": "wrong", "transport": "APP"})
    assert refused["signIn"]["code"] == "INVALID_CREDENTIALS"
    assert (await RefreshToken.all().count(), await Session.all().count()) == kept


async def test_a_code_by_sms_signs_an_app_up_and_in(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.phone_codes.RESEND_AFTER", timedelta(0))
    verify = VERIFY.replace("... on PhoneLinked", "... on SignedInApp { accessToken refreshToken account { id phone } } ... on PhoneLinked")
    phone = "+79165550001"
    for purpose in ("SIGN_UP", "SIGN_IN"):
        challenge, code = await sent(shop, phone, purpose)
        answer = await shop.nobody.post(verify, input={"challengeId": challenge, "code": code, "transport": "APP", "remember": False, **ANNA})
        told = answer.json()["data"]["verifyPhoneCode"]
        assert told["__typename"] == "SignedInApp" and told["account"]["phone"] == phone and "set-cookie" not in answer.headers
        row = await Session.get(token_hash=token_hash(told["accessToken"]))
        assert row.ends_at - row.created_at == timedelta(hours=24)


async def test_nothing_that_is_kept_tells_a_token(shop: Shop) -> None:
    app = await app_of(shop)
    told = [app.token, app.refresh_token]
    await app.turn()
    told += [app.token, app.refresh_token]
    rows = [*await fetch("SELECT * FROM session"), *await fetch("SELECT * FROM refresh_token"), *await fetch("SELECT details FROM activity")]
    kept = " ".join(str(value) for row in rows for value in tuple(row))
    for token in told:
        for part in str(token).removeprefix("kat_").removeprefix("krt_").split("."):
            assert part not in kept
    assert token_hash(app.refresh_token) in kept


async def test_an_access_token_counts_for_five_minutes_as_a_bearer_alone(shop: Shop) -> None:
    app = await app_of(shop)
    assert await app.codes("{ me { id } }") == []
    as_cookie = await shop.nobody.post(ME, headers={"cookie": f"sid={app.token}", "x-requested-with": "x"})
    assert as_cookie.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    for token in (app.refresh_token, f"{app.token}x", "kat_"):
        answer = await shop.nobody.post(ME, headers={"authorization": f"Bearer {token}"})
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    await change("UPDATE session SET access_until = $1 WHERE id = $2", utc_now(), (await app.row()).id)
    assert await app.codes(ME) == ["UNAUTHENTICATED"]
    await app.turn()
    assert (await app.data(ME))["me"] == {"id": app.buyer.id}


# ---------------------------------------------------------------- turning


async def test_a_turn_answers_the_next_pair_and_the_one_before_is_dead(shop: Shop) -> None:
    app = await app_of(shop)
    old, sessions = app.token, await Session.all().count()
    await change("UPDATE session SET used_at = $1 WHERE id = $2", utc_now() - timedelta(days=13), (await app.row()).id)
    answer = await app.refresh()
    assert answer | {"accessToken": "", "refreshToken": "", "accessTokenExpiresAt": ""} == {
        "__typename": "SignedInApp", "accessToken": "", "refreshToken": "", "accessTokenExpiresAt": "", "account": {"id": app.buyer.id},
    }  # fmt: skip
    assert await app.codes(ME) == ["UNAUTHENTICATED"]
    app.token, app.refresh_token = answer["accessToken"], answer["refreshToken"]
    assert (await app.data(ME))["me"] == {"id": app.buyer.id} and app.token != old
    row = await app.row()
    assert await Session.all().count() == sessions and utc_now() - row.used_at < timedelta(minutes=5)
    assert row.access_until == datetime.fromisoformat(answer["accessTokenExpiresAt"])


async def test_an_access_token_does_not_outlive_its_session(shop: Shop) -> None:
    app = await app_of(shop)
    ends_at = utc_now() + timedelta(minutes=2)
    await change("UPDATE session SET ends_at = $1 WHERE id = $2", ends_at, (await app.row()).id)
    assert datetime.fromisoformat((await app.refresh())["accessTokenExpiresAt"]) == ends_at


async def test_a_lost_answer_is_told_again_for_ten_seconds(shop: Shop) -> None:
    app = await app_of(shop)
    first = app.refresh_token
    answer = await app.refresh()
    assert await app.refresh() == answer
    app.token = answer["accessToken"]
    await later(app, 4)
    assert await app.refresh(first) == answer
    app.refresh_token = answer["refreshToken"]
    assert (await app.data(ME))["me"] == {"id": app.buyer.id} and await told(app) == []


async def test_a_lost_answer_is_told_again_over_a_change_of_the_services_secret(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    app = await app_of(shop)
    answer, as_is = await app.refresh(), shop.service.settings
    ((old,),) = await fetch("SELECT secret FROM service_key")
    monkeypatch.setattr(shop.service, "settings", as_is.model_copy(update={"secret_key": SecretStr("n" * 32)}))
    assert await app.refresh() == INVALID  # the one before it is not accepted
    changing = as_is.model_copy(update={"secret_key": SecretStr("n" * 32), "secret_key_previous": SecretStr(old)})
    monkeypatch.setattr(shop.service, "settings", changing)
    assert await app.refresh() == answer
    app.refresh_token = answer["refreshToken"]
    await app.turn()
    monkeypatch.setattr(shop.service, "settings", as_is)
    assert await app.refresh(answer["refreshToken"]) == INVALID  # made by the new one


@pytest.mark.parametrize("case", ["a predecessor after the grace", "one before the predecessor", "a forged one of the family"])
async def test_a_token_used_again_ends_the_session_and_is_told(shop: Shop, case: str, caplog: pytest.LogCaptureFixture) -> None:
    app = await app_of(shop)
    elsewhere = await app_of(shop, app.buyer)
    reused = await app.turn()
    if case == "a predecessor after the grace":
        await later(app, 10.001)
    elif case == "one before the predecessor":
        await app.turn()
    else:
        reused = app.refresh_token[:-1] + ("A" if app.refresh_token[-1] != "A" else "E")
    session_id = (await app.row()).id
    with caplog.at_level(logging.WARNING, "kabinet.sessions"):
        assert await app.refresh(reused) == INVALID
    assert [record.getMessage() for record in caplog.records if record.name == "kabinet.sessions"] == ["refresh_reuse"]
    assert await app.codes(ME) == ["UNAUTHENTICATED"]
    (letter,) = await told(app)
    assert (letter["language"], letter["values"]) == ("en", {"address": "127.0.0.1"})
    assert await Activity.filter(verb="refresh_reuse", subject_kind="session", subject_id=session_id).count() == 1
    for token in (reused, app.refresh_token):
        assert await app.refresh(token) == INVALID  # ended once, told once
    assert len(await told(app)) == 1
    assert (await elsewhere.data(ME))["me"] == (await app.buyer.data(ME))["me"] == {"id": app.buyer.id}
    await elsewhere.turn()


async def test_a_token_that_is_nobodys_changes_nothing_and_is_answered_as_any_other(shop: Shop) -> None:
    app = await app_of(shop)
    before = await RefreshToken.all().order_by("session_id").values(), await Session.all().order_by("id").values()
    for token in (app.token, app.buyer.token, "", "krt_", ".", "krt_x.y", f"krt_x.{app.refresh_token.partition('.')[2]}", "x" * 9000, "\x00"):
        assert (await shop.nobody.data(REFRESH, token=token))["refreshSession"] == INVALID, token
    assert (await RefreshToken.all().order_by("session_id").values(), await Session.all().order_by("id").values()) == before
    assert (await app.data(ME))["me"] == {"id": app.buyer.id} and await told(app) == []


@pytest.mark.parametrize("column", ["used_at", "ends_at", "revoked_at"])
async def test_a_session_that_is_over_is_turned_no_more(shop: Shop, column: str) -> None:
    app = await app_of(shop)
    await change(f"UPDATE session SET {column} = $1 WHERE id = $2", utc_now() - timedelta(days=14, seconds=1), (await app.row()).id)
    assert await app.refresh() == INVALID and await told(app) == []


async def test_wrong_tokens_of_a_network_are_bounded_and_good_ones_are_not(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.app_sessions.WRONG_OF_NETWORK", 3)
    app = await app_of(shop)
    for _ in range(5):
        await app.turn()
    for _ in range(3):
        assert await app.refresh("krt_wrong.wrong") == INVALID
    answer = await shop.nobody.post(REFRESH, token=app.refresh_token)
    assert answer.status_code == 429 and answer.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    forget_traffic()
    await app.turn()


async def test_two_turns_in_one_operation_are_refused(shop: Shop) -> None:
    query = "mutation { a: refreshSession(input: { refreshToken: \"x\" }) { __typename } b: refreshSession(input: { refreshToken: \"y\" }) { __typename } }"
    assert await shop.nobody.codes(query) == ["QUERY_TOO_COMPLEX"]


async def test_fifty_turns_at_once_are_one(shop: Shop) -> None:
    app = await app_of(shop)
    sessions = await Session.all().count()
    answers = await asyncio.gather(*(app.refresh() for _ in range(50)))
    assert answers[0]["__typename"] == "SignedInApp" and all(answer == answers[0] for answer in answers)
    app.token, app.refresh_token = answers[0]["accessToken"], answers[0]["refreshToken"]
    assert (await app.data(ME))["me"] == {"id": app.buyer.id}
    assert await Session.all().count() == sessions and await RefreshToken.filter(session_id=(await app.row()).id).count() == 1
    await app.turn()
    assert await told(app) == []


async def test_a_theft_noticed_by_twenty_at_once_is_told_once(shop: Shop) -> None:
    app = await app_of(shop)
    reused = await app.turn()
    await app.turn()
    assert await asyncio.gather(*(app.refresh(reused) for _ in range(20))) == [INVALID] * 20
    assert len(await told(app)) == 1 and await app.refresh() == INVALID


async def test_no_turn_gets_past_the_end_of_the_session(shop: Shop) -> None:
    app = await app_of(shop)
    turns = [app.refresh() for _ in range(10)]
    *answers, _ = await asyncio.gather(*turns[:5], *turns[5:], app.buyer.data(ELSEWHERE))
    for answer in answers:
        if answer["__typename"] == "SignedInApp":
            assert await app.refresh(answer["refreshToken"]) == INVALID
            app.token = answer["accessToken"]
            assert await app.codes(ME) == ["UNAUTHENTICATED"]
    assert await app.refresh() == INVALID


# ---------------------------------------------------------------- a session like any other


async def test_it_is_listed_and_revoked_and_ended_from_elsewhere(shop: Shop) -> None:
    app = await app_of(shop)
    seen = await sessions_of(app.buyer)
    assert [session["current"] for session in seen] == [False, True]
    assert [session["current"] for session in await sessions_of(app)] == [True, False]  # type: ignore[arg-type]
    assert (await app.buyer.data(REVOKE, id=seen[0]["id"]))["revokeSession"] == {"sessionId": seen[0]["id"]}
    assert await app.codes(ME) == ["UNAUTHENTICATED"] and await app.refresh() == INVALID
    other = await app_of(shop, app.buyer)
    assert await app.buyer.data(ELSEWHERE) == {"signOutElsewhere": {"sessions": 1}}
    assert await other.codes(ME) == ["UNAUTHENTICATED"] and await other.refresh() == INVALID
    last = await app_of(shop, app.buyer)
    assert await last.data("mutation { signOut { __typename } }") == {"signOut": {"__typename": "SignedOut"}}
    assert await last.refresh() == INVALID


async def test_signing_in_anew_ends_the_session_that_came_along(shop: Shop) -> None:
    app = await app_of(shop)
    await app.data(SIGN_IN, input={"email": app.buyer.email, "password": PASSWORD, "transport": "APP"})
    assert await app.codes(ME) == ["UNAUTHENTICATED"] and await app.refresh() == INVALID


async def test_the_fifty_first_session_ends_the_oldest_app(shop: Shop) -> None:
    app = await app_of(shop)
    account_id = (await app.row()).account_id
    for number in range(49):
        await change(
            "INSERT INTO session (account_id, token_hash, created_at, used_at, proved_at, ends_at, remembered, address, agent) "
            "VALUES ($1, $2, $3, $3, $3, $4, TRUE, '', '')", account_id, token_hash(f"{app.token}{number}"), utc_now(), utc_now() + timedelta(days=1),
        )  # fmt: skip
    await app_of(shop, app.buyer)
    assert await app.codes(ME) == ["UNAUTHENTICATED"] and await app.refresh() == INVALID


async def test_another_password_ends_the_apps_elsewhere_and_turns_the_own_one(shop: Shop) -> None:
    app = await app_of(shop)
    other, old, session_id = await app_of(shop, app.buyer), app.refresh_token, (await app.row()).id
    access = app.token
    answer = await changed(app, PASSWORD, OTHER)  # type: ignore[arg-type]
    assert answer == {"__typename": "PasswordChanged", "accepted": True}
    assert await app.codes(ME) == ["UNAUTHENTICATED"]  # what is told is a refresh token, to be turned first
    app.refresh_token, app.token = app.token or "", access
    assert await app.codes(ME) == ["UNAUTHENTICATED"] and await app.refresh(old) == INVALID and await other.refresh() == INVALID
    await app.turn()  # the old one was no theft: a rotation begins a family of its own
    assert (await app.data(ME))["me"] == {"id": app.buyer.id} and (await app.row()).id == session_id
    assert await told(app) == []


async def test_an_app_that_is_not_to_be_remembered_ends_after_a_day(shop: Shop) -> None:
    app = await app_of(shop, remember=False)
    row = await app.row()
    assert row.ends_at - row.created_at == timedelta(hours=24)
    await app.turn()
    assert (await app.row()).ends_at == row.ends_at


async def test_use_is_written_down_once_in_five_minutes(shop: Shop) -> None:
    app = await app_of(shop)
    row = await app.row()
    for back, touched in ((timedelta(minutes=4), False), (timedelta(minutes=5), True)):
        used_at = utc_now() - back
        await change("UPDATE session SET used_at = $1 WHERE id = $2", used_at, row.id)
        await app.data(ME)
        assert ((await app.row()).used_at > used_at) is touched
