"""Apps, which turn their refresh token."""

from hypothesis.stateful import precondition, rule

from tests.machine.model import Session
from tests.machine.operations import REFRESH
from tests.machine.rules import Rules, chosen, pick


class ByApp(Rules):
    @precondition(lambda self: self._of_apps())
    @rule(pick=pick)
    def refresh(self, pick: int) -> None:
        self.turned(chosen(self._of_apps(), pick))

    @precondition(lambda self: self.model.turned)
    @rule(pick=pick)
    def bring_a_refresh_token_again(self, pick: int) -> None:
        """Whoever does so ends the session, if it lives."""
        token = chosen([*self.model.turned], pick)
        session = self.model.turned[token]
        self.world.forget_lost_answers()
        assert self.world.ask(REFRESH, token=token) == {"__typename": "InvalidCredentials", "code": "INVALID_CREDENTIALS"}
        if session is not None and session in self.model.sessions:
            self.model.ended(session)

    def _of_apps(self) -> list[Session]:
        return [session for session in self.model.sessions if session.refresh is not None]
