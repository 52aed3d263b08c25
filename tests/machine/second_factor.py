"""A second factor: turned on and off, and asked for."""

import pyotp
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.machine.model import Factor
from tests.machine.operations import ANSWER_FACTOR, BEGIN_FACTOR, CONFIRM_FACTOR, REAUTHENTICATE, REMOVE_FACTOR
from tests.machine.rules import Rules, chosen, kind_of_code, pick, refused, signed_in

MOST_TRIES = 5


class BySecondFactor(Rules):
    @precondition(signed_in)
    @rule(pick=pick)
    def turn_a_second_factor_on(self, pick: int) -> None:
        session = self.session(pick)
        account, begun = session.account, self.world.ask(BEGIN_FACTOR, session.token)
        if not session.fresh:
            assert refused(begun, "REAUTH_REQUIRED")
        elif account.factor is not None:
            assert refused(begun, "WRONG_STATE")
        else:
            answer = self.world.ask(CONFIRM_FACTOR, session.token, code=pyotp.TOTP(begun["secret"]).now())
            assert answer["__typename"] == "SecondFactorOn", answer
            account.factor = Factor(begun["secret"], answer["recoveryCodes"])
            self.model.shut_out(account, but=session)
            self.rotated(session, answer["newToken"])

    @precondition(signed_in)
    @rule(pick=pick, kind=kind_of_code, having=st.booleans())
    def turn_the_second_factor_off(self, pick: int, kind: str, having: bool) -> None:
        """`having`: by somebody who has one, where there is."""
        who = [session for session in self.model.sessions if session.account.factor] if having else []
        session = chosen(who or self.model.sessions, pick)
        account = session.account
        code = self.code(account, kind if session.fresh else "digits")
        answer = self.world.ask(REMOVE_FACTOR, session.token, code=code)
        if not session.fresh:
            assert refused(answer, "REAUTH_REQUIRED")
        elif account.factor is None:
            assert refused(answer, "WRONG_STATE")
        elif kind == "wrong":
            assert refused(answer, "CODE_INVALID")
        else:
            assert answer["__typename"] == "SecondFactorRemoved", answer
            account.factor = None
            self.model.shut_out(account, but=session)
            self.rotated(session, answer["newToken"])

    @precondition(signed_in)
    @rule(pick=pick, kind=kind_of_code, having=st.booleans())
    def prove_by_a_code(self, pick: int, kind: str, having: bool) -> None:
        """`having`: by somebody who has a second factor, where there is one."""
        who = [session for session in self.model.sessions if session.account.factor] if having else []
        session = chosen(who or self.model.sessions, pick)
        answer = self.world.ask(REAUTHENTICATE, session.token, input={"code": self.code(session.account, kind)})
        if session.account.factor is None or kind == "wrong":
            assert refused(answer, "CODE_INVALID")
        else:
            assert answer["__typename"] == "Reauthenticated", answer
            session.fresh = True

    @precondition(lambda self: self.model.challenges)
    @rule(pick=pick, kind=kind_of_code)
    def give_the_code_late(self, pick: int, kind: str) -> None:
        id = chosen([*self.model.challenges], pick)
        challenge = self.model.challenges[id]
        worn_out = challenge.tries >= MOST_TRIES
        code = self.code(challenge.account, "wrong" if worn_out else kind)
        answer = self.world.ask(ANSWER_FACTOR, input={"challengeId": id, "code": code})
        challenge.tries += 1
        if worn_out:
            assert refused(answer, "CODE_ATTEMPTS_EXCEEDED")
        elif kind == "wrong":
            assert refused(answer, "CODE_INVALID")
        else:
            self.let_in(challenge.account, answer)
            self.model.answered(id)

    @precondition(lambda self: self.model.dead_challenges and any(account.factor for account in self.model.accounts))
    @rule(pick=pick, who=pick)
    def give_a_code_that_nobody_waits_for(self, pick: int, who: int) -> None:
        id = chosen(self.model.dead_challenges[-3:], pick)
        account = chosen([account for account in self.model.accounts if account.factor], who)
        answer = self.world.ask(ANSWER_FACTOR, input={"challengeId": id, "code": self.code(account, "digits")})
        assert refused(answer, "CODE_INVALID")
