"""What staff decide about an account, and the buyer who does not agree."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.machine.model import Account, Appeal
from tests.machine.operations import ANSWER_APPEAL, APPEAL, DECIDE_APPEAL, SET_STANDING
from tests.machine.rules import Rules, chosen, pick, refused, signed_in

FROM = {"OPEN": {"IN_REVIEW"}, "IN_REVIEW": {"NEEDS_INFO", "GRANTED", "REJECTED"}, "NEEDS_INFO": {"GRANTED", "REJECTED"}}


class InStanding(Rules):
    @precondition(lambda self: self.model.accounts)
    @rule(pick=pick, level=st.sampled_from(["BLOCKED", "BLOCKED", "RESTRICTED", "WARNED", "GOOD"]), signed_in=st.booleans())
    def decide_about(self, pick: int, level: str, signed_in: bool) -> None:
        """`signed_in`: about somebody who is, where there is one."""
        who = [session.account for session in self.model.sessions] if signed_in else []
        self.decided(chosen(who or self.model.accounts, pick), level)

    def decided(self, account: Account, level: str) -> None:
        row = {"externalId": self.world.name(), "accountId": account.id, "level": level}
        if level != "GOOD":
            row |= {"reason": "RULES", "text": "You have sent spam."}
        (result,) = self.world.ask_as_staff(SET_STANDING, row=row)["results"]
        assert result["status"] == "CREATED", result
        account.level = level

    @precondition(signed_in)
    @rule(pick=pick)
    def appeal(self, pick: int) -> None:
        session = self.session(pick)
        account, answer = session.account, self.world.ask(APPEAL, session.token)
        if account.appeal is not None and account.appeal.state in FROM:
            assert refused(answer, "ALREADY_ASKED")
        elif account.level == "GOOD":
            assert refused(answer, "WRONG_STATE")
        elif account.appeal is not None:
            assert refused(answer, "TOO_EARLY")
        else:
            assert answer["__typename"] == "AppealOpened", answer
            account.appeal = Appeal(answer["appeal"]["id"])

    @precondition(signed_in)
    @rule(pick=pick)
    def answer_staff(self, pick: int) -> None:
        session = self.session(pick)
        appeal, answer = session.account.appeal, self.world.ask(ANSWER_APPEAL, session.token)
        if appeal is None or appeal.state != "NEEDS_INFO":
            assert refused(answer, "WRONG_STATE")
        else:
            assert answer["__typename"] == "AppealAnswered", answer
            appeal.state = "IN_REVIEW"

    @precondition(lambda self: self._who_appealed())
    @rule(pick=pick, state=st.sampled_from(["IN_REVIEW", "NEEDS_INFO", "GRANTED", "REJECTED"]))
    def decide_an_appeal(self, pick: int, state: str) -> None:
        account = chosen(self._who_appealed(), pick)
        row = {"appealId": account.appeal.id, "state": state, "text": "We have looked at it."}
        (result,) = self.world.ask_as_staff(DECIDE_APPEAL, row=row)["results"]
        if state not in FROM.get(account.appeal.state, ()):
            assert result["code"] == "WRONG_STATE", result
            return
        assert result["status"] == "UPDATED", result
        account.appeal.state = state
        if state == "GRANTED":
            account.level = "GOOD"

    def _who_appealed(self) -> list[Account]:
        return [account for account in self.model.accounts if account.appeal is not None]
