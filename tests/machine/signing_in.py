"""Whatever buyers, staff and strangers do, in whatever order: the service agrees with a model in memory, and every account has a way in."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from tests.machine.by_app import ByApp
from tests.machine.by_mail import ByMail
from tests.machine.by_passkey import ByPasskey
from tests.machine.by_phone import ByPhone
from tests.machine.by_provider import ByProvider
from tests.machine.model import Account, Model
from tests.machine.rules import address, came_back, chosen, number, password, pick, signed_in
from tests.machine.second_factor import BySecondFactor
from tests.machine.signed_in import SignedIn
from tests.machine.standing import InStanding
from tests.machine.world import World

SHORT, LONG = 100, 1000
STEPS = {SHORT: 9, LONG: 20}
SEQUENCES = [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.long)]

_world: World


class SigningIn(ByMail, ByPhone, ByProvider, ByPasskey, ByApp, BySecondFactor, SignedIn, InStanding):
    """Three addresses, two numbers, four people at providers, one device and staff."""

    @initialize(buyers=st.sets(st.one_of(address, number), min_size=2, max_size=3), password=password)
    def begin(self, buyers: set[str], password: str) -> None:
        self.world, self.model = _world, Model()
        self.world.begin_anew()
        for buyer in sorted(buyers):
            if buyer.startswith("+"):
                self.enter_by_a_code(buyer, "SIGN_UP", False)
            else:
                self.sign_up(buyer, password)
                self.follow_an_activation_link(0, True, None)

    @precondition(signed_in)
    @rule(pick=pick, what=pick, phone=number, email=address, by=came_back)
    def try_what_the_blocked_may_not(self, pick: int, what: int, phone: str, email: str, by: tuple[str, str]) -> None:
        self.decided(self.session(pick).account, "BLOCKED")
        tries: list[Callable[[], None]] = [
            lambda: self.link_a_phone(pick, phone),
            lambda: self.ask_for_another_address(pick, email, False),
            lambda: self.add_a_passkey(pick),
            lambda: self.unlink(pick, what),
            lambda: self.leave(pick),
        ]
        if all(session.refresh is None for session in self.model.sessions):
            tries.append(lambda: self.link_a_provider(pick, by))
        chosen(tries, what)()

    @rule()
    def hours_pass(self) -> None:
        self.world.pass_hours()
        for session in self.model.sessions:
            session.fresh = False

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @invariant()
    def the_service_agrees(self) -> None:
        for session in self.model.sessions[-3:]:
            self._agrees_about(session.account, session.token)
        for token in self.model.dead[-2:]:
            assert self.me(token) is None

    def _agrees_about(self, account: Account, token: str) -> None:
        me, usable, appeal, factor = self.me(token), account.usable(), account.appeal, account.factor
        assert me["id"] == account.id
        told = me["signInMethods"]
        assert [method["kind"] for method in told["methods"]] == [way.kind.value for way in account.ways]
        assert [method["kind"] for method in told["methods"] if method["usable"]] == [way.kind.value for way in usable]
        assert told["lockoutRisk"] == (len(usable) < 2 or (factor is not None and not factor.recovery_codes))
        assert len(me["sessions"]) == len(self.model.of(account))
        assert me["pendingEmailChange"] == (account.pending and {"email": account.pending})
        assert me["secondFactor"] == (factor and {"recoveryCodesLeft": len(factor.recovery_codes)})
        assert (me["deletion"] is not None) == account.leaves
        assert me["standing"] == {"level": account.level, "appeal": appeal and {"state": appeal.state}}

    @invariant()
    def every_account_has_a_way_in(self) -> None:
        assert all(account.usable() for account in self.model.accounts)

    def teardown(self) -> None:
        """The ways in of which the model speaks are tried: every buyer gets in once more by each."""
        for account in getattr(self, "model", Model()).accounts:
            for way in account.usable():
                self.get_in(account, way)
                self._agrees_about(account, self.model.sessions[-1].token)


def run_through(dialect: str, folder: Path, sequences: int) -> None:
    """Try so many sequences of steps on a shop of their own; the few of every run are the same ones, the many are new."""
    global _world
    _world = World(dialect, folder)
    _world.open()
    try:
        given = settings(
            max_examples=sequences, stateful_step_count=STEPS[sequences], deadline=None, suppress_health_check=list(HealthCheck),
            derandomize=sequences == SHORT, database=None,
        )  # fmt: skip
        run_state_machine_as_test(SigningIn, settings=given)
    finally:
        _world.close()
