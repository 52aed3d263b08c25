"""Signing up, in and linking by a code that comes to a phone."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.machine.model import PHONE, Way
from tests.machine.rules import Rules, number, pick, refused, signed_in


class ByPhone(Rules):
    @rule(phone=number, purpose=st.sampled_from(["SIGN_UP", "SIGN_IN"]), waits=st.booleans())
    def enter_by_a_code(self, phone: str, purpose: str, waits: bool) -> None:
        account, way = self.model.owner(Way(PHONE, phone)), Way(PHONE, phone)
        answer = self.verified(phone, purpose, None)
        if account is None and purpose == "SIGN_IN":
            assert answer == {"__typename": "NotFound", "code": "NOT_FOUND"}
        else:
            self.entered(account or self.model.opened(answer["account"]["id"], way), answer, waits)

    @precondition(signed_in)
    @rule(pick=pick, phone=number)
    def link_a_phone(self, pick: int, phone: str) -> None:
        session, way = self.session(pick), Way(PHONE, phone)
        owner, account = self.model.owner(way), session.account
        answer = self.verified(phone, "LINK", session.token)
        if account.is_blocked:
            assert refused(answer, "ACCOUNT_BLOCKED")
        elif not session.fresh:
            assert refused(answer, "REAUTH_REQUIRED")
        elif owner not in (None, account):
            assert refused(answer, "IDENTITY_TAKEN")
        else:
            assert answer["__typename"] == "PhoneLinked" and answer["account"] == {"id": account.id}, answer
            account.replace(way)
            self.rotated(session, answer["newToken"])
