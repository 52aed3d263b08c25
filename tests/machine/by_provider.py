"""Signing up, in and linking by a provider."""

from hypothesis.stateful import precondition, rule

from models.accounts import IdentityKind
from tests.machine.model import Session, Way
from tests.machine.rules import ADDRESS_OF, Rules, came_back, chosen, pick


class ByProvider(Rules):
    @rule(by=came_back)
    def enter_by_a_provider(self, by: tuple[str, str]) -> None:
        provider, person = by
        way, email = Way(IdentityKind[provider.upper()], person), ADDRESS_OF[person]
        account = self.model.owner(way)
        known = self.owner(email) if email and account is None else None
        back, token = self.world.through(provider, person)
        if known is not None and provider != "google":
            assert (back, token) == ("/back?error=ACCOUNT_LINK_REQUIRES_SIGN_IN", None)
            return
        if known is not None and known.is_blocked:
            assert (back, token) == ("/back?error=ACCOUNT_BLOCKED", None)
            return
        if known is not None:
            known.ways.append(way)
        if account is None and known is None:
            assert token is not None, back
            known = self.model.opened(self.me(token)["id"], way)
        self.came_back_to(account or known, back, token)  # type: ignore[arg-type]

    @precondition(lambda self: self._of_browsers())
    @rule(pick=pick, by=came_back)
    def link_a_provider(self, pick: int, by: tuple[str, str]) -> None:
        provider, person = by
        session, way = chosen(self._of_browsers(), pick), Way(IdentityKind[provider.upper()], person)
        owner, account = self.model.owner(way), session.account
        back, token = self.world.through(provider, person, session.token)
        if account.is_blocked:
            assert back == "/back?error=ACCOUNT_BLOCKED"
        elif not session.fresh:
            assert back == "/back?error=REAUTH_REQUIRED"
        elif owner not in (None, account):
            assert back == "/back?error=IDENTITY_TAKEN"
        else:
            assert back == "/back" and token is not None
            if owner is None:
                account.ways.append(way)
            self.rotated(session, token)

    def _of_browsers(self) -> list[Session]:
        return [session for session in self.model.sessions if session.refresh is None]
