"""The threads that hash: how many may wait for them, and that they give way to whoever answers."""

import os
import sys
from contextlib import ExitStack

import pytest

from auth.passwords import MOST_WAITING, NICER, Passwords
from models.refusals import ErrorCode, Failure
from models.sessions import Guess, Session
from settings import Settings
from tests.auth.test_sign_in import SIGN_IN, row_of
from tests.resolvers.sign_ups import ACTIVATE, GOOD, SIGN_UP, solved, typed
from tests.resolvers.test_passwords import CHANGE, REQUEST, RESET
from tests.shop import PASSWORD, Shop
from tests.statements import statements


def all_turns(passwords: Passwords) -> ExitStack:
    """Every turn there is, taken."""
    taken = ExitStack()
    for _ in range(MOST_WAITING):
        taken.enter_context(passwords.turn())
    return taken


async def test_who_has_a_turn_is_served_and_one_more_is_too_many() -> None:
    passwords = Passwords(Settings())
    stored = await passwords.hash("right")
    with all_turns(passwords):
        assert await passwords.matches(stored, "right")
        with pytest.raises(Failure) as refused, passwords.turn():
            pass
    assert (refused.value.code, refused.value.retry_after_seconds) == (ErrorCode.OVERLOADED, 2)
    with passwords.turn():
        assert not await passwords.matches(stored, "wrong")
    passwords.close()


async def test_what_is_shed_has_asked_the_database_nothing_and_counts_for_nothing(shop: Shop) -> None:
    await shop.put("putAccounts", [row_of(20)])
    right = {"email": "signing20@shop.example", "password": PASSWORD}
    signed = (await shop.nobody.data(SIGN_IN, input=right))["signIn"]
    shop.http.cookies.clear()
    before = sorted(await Guess.all().values_list("key", "failures")), await Session.all().count()
    prove = 'mutation { reauthenticate(input: { password: "wrong" }) { __typename } }'
    with all_turns(shop.service.passwords):
        assert await shop.nobody.codes(SIGN_IN, input=right) == ["OVERLOADED"]
        assert await shop.nobody.codes(SIGN_IN, input=right | {"password": "wrong"}) == ["OVERLOADED"]
        answer = await shop.nobody.post(prove, headers={"authorization": f"Bearer {signed['token']}"})
        assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["OVERLOADED"]
    assert (sorted(await Guess.all().values_list("key", "failures")), await Session.all().count()) == before
    assert (await shop.nobody.data(SIGN_IN, input=right))["signIn"]["__typename"] == "SignedIn"


async def test_whoever_sets_a_password_in_a_flood_is_shed_for_nothing(shop: Shop) -> None:
    shop.http.cookies.clear()
    buyer, given = await shop.buyer(), {"token": "x", "password": GOOD, "passwordAgain": GOOD}
    asked = [
        (SIGN_UP, {"input": await typed(shop, "shed@shop.example")}),
        (ACTIVATE, {"token": "x", "password": GOOD, "again": GOOD}),
        (REQUEST, {"input": {"email": "shed@shop.example", "captcha": await solved(shop)}}),
        (RESET, {"input": given}),
    ]
    with all_turns(shop.service.passwords):
        for document, variables in asked:
            async with statements() as seen:
                assert await shop.nobody.codes(document, **variables) == ["OVERLOADED"]
            assert not [text for text in seen if "domain_clock" not in text]  # what time it is
        async with statements() as seen:
            assert await buyer.codes(CHANGE, input={"current": PASSWORD, "new": GOOD, "newAgain": GOOD}) == ["OVERLOADED"]
        assert not [text for text in seen if "domain_clock" not in text and "FROM session" not in text]  # who is asking


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere priorities are the process's")
async def test_hashing_gives_way_to_answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.passwords.NICER", NICER)  # as it is outside the tests
    passwords = Passwords(Settings())
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert NICER == 10 and await passwords.run(lambda: os.getpriority(os.PRIO_PROCESS, 0)) == min(19, own + NICER)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    passwords.close()
