"""Passkeys: added, signed in by, and proved by."""

from hypothesis.stateful import precondition, rule
from webauthn.helpers import bytes_to_base64url

from tests.machine.model import PASSKEY, Way
from tests.machine.operations import ADD_PASSKEY, BEGIN_PASSKEY, ENTER_BY_PASSKEY, PROVE_BY_PASSKEY
from tests.machine.rules import Rules, chosen, pick, refused, signed_in

MOST_PASSKEYS = 20


class ByPasskey(Rules):
    @precondition(signed_in)
    @rule(pick=pick)
    def add_a_passkey(self, pick: int) -> None:
        session = self.session(pick)
        account, begun = session.account, self.world.ask(BEGIN_PASSKEY, session.token)
        if account.is_blocked:
            assert refused(begun, "ACCOUNT_BLOCKED")
        elif not session.fresh:
            assert refused(begun, "REAUTH_REQUIRED")
        elif len([way for way in account.ways if way.kind is PASSKEY]) == MOST_PASSKEYS:
            assert refused(begun, "LIMIT_REACHED")
        else:
            device = self.world.device
            given = {"challengeId": begun["challengeId"], "credential": device.create(begun["options"]), "name": "Phone"}
            assert self.world.ask(ADD_PASSKEY, session.token, input=given)["__typename"] == "PasskeyAdded"
            account.ways.append(Way(PASSKEY, bytes_to_base64url(device.last.id)))

    @precondition(lambda self: self.world.device.keys)
    @rule(pick=pick)
    def enter_by_a_passkey(self, pick: int) -> None:
        key = chosen([*self.world.device.keys], pick)
        owner = self.model.owner(Way(PASSKEY, key))
        answer = self.world.ask(ENTER_BY_PASSKEY, input=self.answer_of_a_passkey(key))
        if owner is None:
            assert refused(answer, "INVALID_CREDENTIALS")
        else:
            self.let_in(owner, answer)

    @precondition(lambda self: self.model.sessions and self.world.device.keys)
    @rule(pick=pick, which=pick)
    def prove_by_a_passkey(self, pick: int, which: int) -> None:
        session, key = self.session(pick), chosen([*self.world.device.keys], which)
        answer = self.world.ask(PROVE_BY_PASSKEY, session.token, input=self.answer_of_a_passkey(key))
        if self.model.owner(Way(PASSKEY, key)) is session.account:
            assert answer["__typename"] == "Reauthenticated", answer
            session.fresh = True
        else:
            assert refused(answer, "INVALID_CREDENTIALS")
