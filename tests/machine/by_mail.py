"""Signing up, in and changing things by e-mail."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from models.accounts import fold_email
from tests.machine.model import EMAIL, PHONE, Session, SignUp, Way
from tests.machine.operations import (
    ACTIVATE,
    CANCEL_EMAIL,
    CONFIRM_EMAIL,
    REQUEST_EMAIL,
    REQUEST_RESET,
    RESET,
    SIGN_IN,
    SIGN_UP,
)
from tests.machine.rules import (
    NEWCOMER,
    Rules,
    address,
    chosen,
    number,
    password,
    pick,
    refused,
    signed_in,
    token_of,
    typed,
)

CODE_INVALID = {"__typename": "CodeInvalid", "code": "CODE_INVALID"}


class ByMail(Rules):
    @rule(email=address, password=password)
    def sign_up(self, email: str, password: str) -> None:
        given = {**NEWCOMER, "email": email, "password": password, "passwordAgain": password, "termsVersion": "1"}
        answer = self.world.ask(SIGN_UP, input={**given, "captcha": self.world.captcha()})
        assert answer["__typename"] == "SignUpAccepted", answer
        letter = self.world.last("mail", email if self.owner(email) is None else self.spelled(email))
        if self.owner(email) is None:
            self.model.sign_ups[token_of(letter, "activate")] = SignUp(email, password, answer["proof"])
        else:
            assert letter["template"] == "already_registered"

    @precondition(lambda self: self.model.sign_ups or self.model.used_links)
    @rule(pick=pick, here=st.booleans(), password=st.one_of(st.none(), password))
    def follow_an_activation_link(self, pick: int, here: bool, password: str | None) -> None:
        """`here`: in the browser that asked for it; elsewhere only a password of one's own counts."""
        token = chosen([*self.model.sign_ups, *self.model.used_links[-3:]], pick)
        asked = self.model.sign_ups.get(token)
        proof = asked.proof if asked and here else None
        answer = self.world.ask(ACTIVATE, token=token, proof=proof, password=password, again=password)
        if asked is None:
            assert answer == CODE_INVALID
        elif password is None and not here:
            assert answer == {"__typename": "PasswordNeeded", "code": "PASSWORD_NEEDED"}
        else:
            account = self.model.opened(answer["account"]["id"], Way(EMAIL, fold_email(asked.email)), password or asked.password)
            self.model.entered(account, answer["token"])
            self.model.used_links.append(token)

    @rule(address=st.one_of(address, number), typed=typed, waits=st.booleans(), transport=st.sampled_from(["BROWSER", "APP"]))
    def sign_in_by_password(self, address: str, typed: str | None, waits: bool, transport: str) -> None:
        by_phone = address.startswith("+")
        account = self.model.owner(Way(PHONE, address)) if by_phone else self.owner(address)
        password = self.password(account, typed)
        given = {"email": "", "phone": address} if by_phone else {"email": address}
        answer = self.world.ask(SIGN_IN, input={**given, "password": password, "transport": transport})
        if account is None or account.password != password:
            assert answer == {"__typename": "InvalidCredentials", "code": "INVALID_CREDENTIALS"}
        else:
            self.entered(account, answer, waits, transport)

    @rule(email=address, follows=st.booleans(), password=password)
    def forget_the_password(self, email: str, follows: bool, password: str) -> None:
        answer = self.world.ask(REQUEST_RESET, input={"email": email, "captcha": self.world.captcha()})
        assert answer == {"__typename": "PasswordResetRequested"}
        owner = self.owner(email)
        letter = self.world.last("mail", email if owner is None else self.spelled(email))
        if owner is None:
            assert letter["template"] == "no_account"
        else:
            token = token_of(letter, "reset_password")
            self.model.resets[token] = owner
            if follows:
                self._reset(token, password)

    @precondition(lambda self: self.model.resets or self.model.used_links)
    @rule(pick=pick, password=password)
    def follow_a_reset_link(self, pick: int, password: str) -> None:
        self._reset(chosen([*self.model.resets, *self.model.used_links[-3:]], pick), password)

    def _reset(self, token: str, password: str) -> None:
        account = self.model.resets.get(token)
        answer = self.world.ask(RESET, input={"token": token, "password": password, "passwordAgain": password})
        if account is None:
            assert answer == CODE_INVALID
            return
        assert answer == {"__typename": "PasswordReset"}
        account.password = password
        self.model.void_resets(account)
        self.model.void_email_change(account)
        self.model.shut_out(account)

    @precondition(signed_in)
    @rule(pick=pick, email=address, follows=st.booleans())
    def ask_for_another_address(self, pick: int, email: str, follows: bool) -> None:
        session, owner = self.session(pick), self.owner(email)
        account = session.account
        answer = self.world.ask(REQUEST_EMAIL, session.token, email=email)
        if account.is_blocked:
            assert refused(answer, "ACCOUNT_BLOCKED")
        elif not session.fresh:
            assert refused(answer, "REAUTH_REQUIRED")
        elif owner is account:
            assert refused(answer, "BAD_USER_INPUT")
        else:
            assert answer == {"__typename": "EmailChangeRequested"}
            self.model.void_email_change(account)
            account.pending = email
            letter = self.world.last("mail", email if owner is None else self.spelled(email))
            if owner is None:
                token = token_of(letter, "confirm_email")
                self.model.email_changes[token] = account, email
                if follows:
                    self._follow(session, token)
            else:
                assert letter["template"] == "email_taken"

    @precondition(signed_in)
    @rule(pick=pick, email=address, password=password)
    def take_an_account_back(self, pick: int, email: str, password: str) -> None:
        """Somebody at an open session asks for another address, and the owner sets a new password by mail."""
        account = self.session(pick).account
        self.ask_for_another_address(pick, email, False)
        for way in [way for way in account.ways if way.kind is EMAIL]:
            self.forget_the_password(self.spelled(way.subject), True, password)

    @precondition(lambda self: self.model.sessions and (self.model.email_changes or self.model.used_links))
    @rule(pick=pick, link=pick, theirs=st.booleans())
    def follow_the_link_to_another_address(self, pick: int, link: int, theirs: bool) -> None:
        """`theirs`: by somebody signed in to the account that asked, where there is one."""
        token = chosen([*self.model.email_changes, *self.model.used_links[-3:]], link)
        asker, _ = self.model.email_changes.get(token, (None, ""))
        own = self.model.of(asker) if asker and theirs else []
        self._follow(chosen(own or self.model.sessions, pick), token)

    def _follow(self, session: Session, token: str) -> None:
        asker, email = self.model.email_changes.get(token, (None, ""))
        answer = self.world.ask(CONFIRM_EMAIL, session.token, token=token)
        if session.account.is_blocked:
            assert refused(answer, "ACCOUNT_BLOCKED")
        elif session.account is not asker:
            assert answer == CODE_INVALID
        else:
            assert answer["__typename"] == "EmailChanged" and answer["account"] == {"id": asker.id, "email": email}, answer
            self.model.void_email_change(asker)
            self.model.void_resets(asker)
            asker.replace(Way(EMAIL, fold_email(email)))
            self.model.proved(Way(EMAIL, fold_email(email)))
            self.rotated(session, answer["newToken"])

    @precondition(signed_in)
    @rule(pick=pick)
    def keep_the_address(self, pick: int) -> None:
        session = self.session(pick)
        answer = self.world.ask(CANCEL_EMAIL, session.token)
        assert answer["__typename"] == ("NotFound" if session.account.pending is None else "EmailChangeCancelled")
        self.model.void_email_change(session.account)
