"""What somebody does who is signed in."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.machine.model import EMAIL
from tests.machine.operations import CHANGE, DELETE, ELSEWHERE, KEEP, REAUTHENTICATE, REVOKE, SIGN_OUT, UNLINK
from tests.machine.rules import Rules, chosen, password, pick, refused, signed_in, typed


class SignedIn(Rules):
    @precondition(signed_in)
    @rule(pick=pick, way=pick)
    def unlink(self, pick: int, way: int) -> None:
        session = self.session(pick)
        account = session.account
        goes = chosen(account.ways, way)
        method = chosen(self.me(session.token)["signInMethods"]["methods"], way)
        assert method["kind"] == goes.kind.value
        answer = self.world.ask(UNLINK, session.token, id=method["id"])
        if account.is_blocked:
            assert refused(answer, "ACCOUNT_BLOCKED")
        elif not session.fresh:
            assert refused(answer, "REAUTH_REQUIRED")
        elif goes in account.usable() and not account.usable(goes):
            assert refused(answer, "LAST_SIGN_IN_METHOD")
        else:
            assert answer == {"__typename": "SignInMethodUnlinked"}
            account.ways.remove(goes)
            self.model.void_email_change(account)
            if goes.kind is EMAIL:
                self.model.void_resets(account)

    @precondition(signed_in)
    @rule(pick=pick, typed=typed, new=password)
    def change_the_password(self, pick: int, typed: str | None, new: str) -> None:
        session = self.session(pick)
        current = self.password(session.account, typed)
        answer = self.world.ask(CHANGE, session.token, input={"current": current, "new": new, "newAgain": new})
        if session.account.password != current:
            assert refused(answer, "INVALID_CREDENTIALS")
            return
        assert answer["__typename"] == "PasswordChanged"
        session.account.password = new
        self.model.void_resets(session.account)
        self.model.void_email_change(session.account)
        self.model.shut_out(session.account, but=session)
        self.rotated(session, answer["newToken"])

    @precondition(signed_in)
    @rule(pick=pick, typed=typed)
    def prove_who_one_is(self, pick: int, typed: str | None) -> None:
        session = self.session(pick)
        password = self.password(session.account, typed)
        answer = self.world.ask(REAUTHENTICATE, session.token, input={"password": password})
        if session.account.factor is not None:
            assert refused(answer, "SECOND_FACTOR_REQUIRED")
        elif session.account.password == password:
            assert answer["__typename"] == "Reauthenticated"
            session.fresh = True
        else:
            assert refused(answer, "INVALID_CREDENTIALS")

    @precondition(signed_in)
    @rule(pick=pick)
    def sign_out(self, pick: int) -> None:
        session = self.session(pick)
        assert self.world.ask(SIGN_OUT, session.token)["__typename"] == "SignedOut"
        self.model.ended(session)

    @precondition(signed_in)
    @rule(pick=pick)
    def sign_out_elsewhere(self, pick: int) -> None:
        session = self.session(pick)
        assert self.world.ask(ELSEWHERE, session.token)["__typename"] == "SignedOutElsewhere"
        self.model.shut_out(session.account, but=session)

    @precondition(signed_in)
    @rule(pick=pick, other=pick)
    def revoke(self, pick: int, other: int) -> None:
        session = self.session(pick)
        gone = chosen(self.model.of(session.account), other)
        (id,) = [listed["id"] for listed in self.me(gone.token)["sessions"] if listed["current"]]
        assert self.world.ask(REVOKE, session.token, id=id)["__typename"] == "SessionRevoked"
        self.model.ended(gone)

    @precondition(signed_in)
    @rule(pick=pick)
    def leave(self, pick: int) -> None:
        session = self.session(pick)
        answer = self.world.ask(DELETE, session.token)
        if session.account.is_blocked:
            assert refused(answer, "ACCOUNT_BLOCKED")
        elif not session.fresh:
            assert refused(answer, "REAUTH_REQUIRED")
        else:
            assert answer["__typename"] == "AccountDeletionRequested", answer
            session.account.leaves = True
            self.model.shut_out(session.account)

    @precondition(signed_in)
    @rule(pick=pick, leaving=st.booleans())
    def stay_after_all(self, pick: int, leaving: bool) -> None:
        """`leaving`: somebody who has wanted to leave, where there is one."""
        who = [session for session in self.model.sessions if session.account.leaves] if leaving else []
        session = chosen(who or self.model.sessions, pick)
        assert self.world.ask(KEEP, session.token)["__typename"] == "AccountKept"
        session.account.leaves = False
