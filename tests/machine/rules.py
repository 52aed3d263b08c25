"""The words that all rules share, and the little world that they are about."""

from typing import Any
from urllib.parse import parse_qs

import pyotp
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from demo.idp import PEOPLE
from models.accounts import fold_email
from tests.machine.model import EMAIL, PASSKEY, PHONE, Account, Challenge, Model, Session, Way
from tests.machine.operations import (
    ANSWER_FACTOR,
    ASK_PASSKEY,
    ENTER_BY_PASSKEY,
    ME,
    REFRESH,
    REQUEST_CODE,
    SIGN_IN,
    VERIFY_CODE,
)
from tests.machine.world import World

PEOPLE_OF = {"google": ("grigory", "nina"), "vk": ("anna",), "mailru": ("nina",)}
CAME_BACK = [(provider, person) for provider, people in PEOPLE_OF.items() for person in people]
ADDRESS_OF = {person.key: person.email for person in PEOPLE}
ADDRESSES = ["grigory.demo@gmail.com", "anna@demo.example", "Vera@Machine.example"]
NUMBERS = ["+79161110001", "+79161110002"]
PASSWORDS = ["violet ladder 88 quay", "harbour thimble 41 oak"]
NEWCOMER = {"displayName": "Vera Lind", "language": "en", "region": "US", "currency": "USD"}

address, number, password = st.sampled_from(ADDRESSES), st.sampled_from(NUMBERS), st.sampled_from(PASSWORDS)
typed = st.one_of(st.none(), password)
"""What somebody types for a password; None: what is right, where anything is."""
came_back = st.sampled_from(CAME_BACK)
pick = st.integers(0, 9)
kind_of_code = st.sampled_from(["digits", "recovery", "wrong"])


class Rules(RuleBasedStateMachine):
    """What is common to the rules of every domain. Nobody tells who is a buyer and who a stranger."""

    world: World
    model: Model

    def owner(self, email: str) -> Account | None:
        return self.model.owner(Way(EMAIL, fold_email(email)))

    def spelled(self, email: str) -> str:
        """An address as its owner typed it."""
        return next(typed for typed in ADDRESSES if fold_email(typed) == fold_email(email))

    def password(self, account: Account | None, typed: str | None) -> str:
        return typed or (account and account.password) or PASSWORDS[0]

    def session(self, pick: int) -> Session:
        return chosen(self.model.sessions, pick)

    def me(self, token: str) -> Any:
        return self.world.ask(ME, token)

    def entered(self, account: Account, answer: dict[str, Any], waits: bool = False, transport: str = "BROWSER") -> None:
        """The answer lets the account's owner in; with a second factor at once by a code, unless it `waits`."""
        if account.factor is not None:
            assert answer["__typename"] == "SecondFactorRequired", answer
            self.asked_for_a_code(account, answer["challengeId"], waits, transport)
            return
        self.let_in(account, answer, transport)

    def let_in(self, account: Account, answer: dict[str, Any], transport: str = "BROWSER") -> None:
        assert answer["__typename"] == ("SignedIn" if transport == "BROWSER" else "SignedInApp"), answer
        assert answer["account"]["id"] == account.id, answer
        self.model.entered(account, answer.get("token") or answer["accessToken"], answer.get("refreshToken"))

    def asked_for_a_code(self, account: Account, challenge: str, waits: bool, transport: str = "BROWSER") -> None:
        self.model.challenges[challenge] = Challenge(account)
        if not waits:
            given = {"challengeId": challenge, "code": self.code(account, "digits"), "transport": transport}
            self.let_in(account, self.world.ask(ANSWER_FACTOR, input=given), transport)
            self.model.answered(challenge)

    def code(self, account: Account, kind: str) -> str:
        """A code of the account's second factor; where a recovery code is wanted and none is left, digits. It is used up."""
        self.world.forget_codes()
        if account.factor is None or kind == "wrong":
            return "AAAA-AAAA-AAAA-AAAA"
        if kind == "recovery" and account.factor.recovery_codes:
            return account.factor.recovery_codes.pop()
        return pyotp.TOTP(account.factor.secret).now()

    def rotated(self, session: Session, token: str) -> None:
        """The session goes on under a new token; an app turns it at once."""
        assert token
        self.model.rotated(session, token)
        if session.refresh is not None:
            self.turned(session)

    def turned(self, session: Session) -> None:
        """An app asks for its next pair."""
        answer = self.world.ask(REFRESH, token=session.refresh)
        assert answer["__typename"] == "SignedInApp" and answer["account"]["id"] == session.account.id, answer
        self.model.refreshed(session, answer["accessToken"], answer["refreshToken"])

    def verified(self, phone: str, purpose: str, token: str | None) -> Any:
        """What the right code is answered, or the request for it where that is refused."""
        answer = self.world.ask(REQUEST_CODE, token, input={"phone": phone, "purpose": purpose})
        if answer["__typename"] != "PhoneCodeRequested":
            return answer
        code = self.world.last("sms", phone)["values"]["code"]
        given = {} if token else NEWCOMER
        return self.world.ask(VERIFY_CODE, token, input={"challengeId": answer["challengeId"], "code": code, **given})

    def came_back_to(self, account: Account, back: str, token: str | None) -> None:
        """A provider has let the account's owner in."""
        if account.factor is not None:
            path, _, waits = back.partition("#")
            assert path == "/second-factor" and token is None, back
            self.asked_for_a_code(account, parse_qs(waits)["challenge"][0], waits=False)
            return
        assert back == "/back" and token is not None and self.me(token)["id"] == account.id
        self.model.entered(account, token)

    def answer_of_a_passkey(self, key: str) -> dict[str, str]:
        """What a device says that is asked for this passkey."""
        asked = self.world.ask(ASK_PASSKEY)
        return {"challengeId": asked["challengeId"], "credential": self.world.device.get(asked["options"], self.world.device.keys[key])}

    def get_in(self, account: Account, way: Way) -> None:
        """Sign in, by a way of which the model says that it is good."""
        if way.kind is PHONE:
            self.entered(account, self.verified(way.subject, "SIGN_IN", None))
        elif way.kind is EMAIL:
            self.entered(account, self.world.ask(SIGN_IN, input={"email": way.subject, "password": account.password}))
        elif way.kind is PASSKEY:
            self.let_in(account, self.world.ask(ENTER_BY_PASSKEY, input=self.answer_of_a_passkey(way.subject)))
        else:
            self.came_back_to(account, *self.world.through(way.kind.value.lower(), way.subject))


def chosen(among: list[Any], pick: int) -> Any:
    return among[pick % len(among)]


def refused(answer: dict[str, Any], code: str) -> bool:
    """Whether the answer is a refusal with this code."""
    return answer.get("code") == code


def token_of(letter: dict[str, Any], template: str) -> str:
    assert letter["template"] == template
    return letter["values"]["link"].partition("?token=")[2]


def signed_in(machine: Any) -> bool:
    return bool(machine.model.sessions)
