"""What a buyer's account should be after each thing that anybody does: in memory, and without a look at the service."""

from dataclasses import dataclass, field
from typing import NamedTuple

from models.accounts import IdentityKind, fold_email

EMAIL, PHONE, PASSKEY = IdentityKind.EMAIL, IdentityKind.PHONE, IdentityKind.PASSKEY

LIVE_SESSIONS = 50


class Way(NamedTuple):
    """A proved way of signing in; `subject` is the address, the number, the passkey, or the person at the provider."""

    kind: IdentityKind
    subject: str


@dataclass
class Factor:
    """An authenticator's secret, and the recovery codes that are left."""

    secret: str
    recovery_codes: list[str]


@dataclass
class Appeal:
    id: str
    state: str = "OPEN"


@dataclass(eq=False)
class Account:
    """`ways` stand in the order in which they came. `pending`: an address that is not proved yet."""

    id: str
    ways: list[Way] = field(default_factory=list)
    password: str | None = None
    pending: str | None = None
    factor: Factor | None = None
    level: str = "GOOD"
    appeal: Appeal | None = None
    leaves: bool = False

    @property
    def is_blocked(self) -> bool:
        return self.level == "BLOCKED"

    def usable(self, without: Way | None = None) -> list[Way]:
        """The ways that let the buyer in; for an e-mail address there must be a password."""
        return [way for way in self.ways if way != without and (way.kind is not EMAIL or self.password is not None)]

    def replace(self, way: Way) -> None:
        """Of addresses and numbers there is one each."""
        self.ways = [kept for kept in self.ways if kept.kind is not way.kind] + [way]


@dataclass(eq=False)
class Session:
    """A sign-in. `fresh`: its owner has proved who they are in the last 15 minutes. `refresh`: an app's refresh token."""

    token: str
    account: Account
    refresh: str | None = None
    fresh: bool = True


@dataclass
class SignUp:
    """`proof` shows that a link is followed where it was asked for."""

    email: str
    password: str
    proof: str


@dataclass
class Challenge:
    """A sign-in that waits for the second factor."""

    account: Account
    tries: int = 0


@dataclass
class Model:
    """Everything that counts: who owns what, which sessions live and which are dead, which links are good."""

    accounts: list[Account] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    sign_ups: dict[str, SignUp] = field(default_factory=dict)
    resets: dict[str, Account] = field(default_factory=dict)
    email_changes: dict[str, tuple[Account, str]] = field(default_factory=dict)
    used_links: list[str] = field(default_factory=list)
    challenges: dict[str, Challenge] = field(default_factory=dict)
    dead_challenges: list[str] = field(default_factory=list)
    turned: dict[str, Session | None] = field(default_factory=dict)
    """Refresh tokens that were used, and the session that ends if they come again."""

    def owner(self, way: Way) -> Account | None:
        return next((account for account in self.accounts if way in account.ways), None)

    def opened(self, id: str, way: Way, password: str | None = None) -> Account:
        """A new account."""
        assert self.owner(way) is None and all(account.id != id for account in self.accounts)
        account = Account(id, [way], password)
        self.accounts.append(account)
        self.proved(way)
        return account

    def proved(self, way: Way) -> None:
        """Somebody has proved an address: what others have begun in its name is void."""
        begun = {token: asked.email for token, asked in self.sign_ups.items()} | {token: email for token, (_, email) in self.email_changes.items()}
        for token in [token for token, email in begun.items() if way == Way(EMAIL, fold_email(email))]:
            self._void(token)

    def entered(self, account: Account, token: str, refresh: str | None = None) -> None:
        assert all(session.token != token for session in self.sessions) and token not in self.dead
        self.sessions.append(Session(token, account, refresh))
        self.ended(*self.of(account)[:-LIVE_SESSIONS])

    def ended(self, *sessions: Session) -> None:
        for session in sessions:
            self.sessions.remove(session)
            self.dead.append(session.token)
            if session.refresh:
                self.turned[session.refresh] = None

    def shut_out(self, account: Account, *, but: Session | None = None) -> None:
        """Whoever is signed in or about to be is so no longer."""
        self.ended(*self.of(account, but=but))
        for id in [id for id, challenge in self.challenges.items() if challenge.account is account]:
            self.answered(id)

    def answered(self, challenge: str) -> None:
        del self.challenges[challenge]
        self.dead_challenges.append(challenge)

    def rotated(self, session: Session, token: str) -> None:
        """The same session by another token; what an app has had before opens and ends nothing any longer."""
        self.dead.append(session.token)
        if session.refresh is None:
            session.token = token
            return
        self.turned |= {old: None for old, of in self.turned.items() if of is session} | {session.refresh: None}
        session.refresh = token

    def refreshed(self, session: Session, token: str, refresh: str) -> None:
        """An app's next pair."""
        assert session.refresh is not None
        self.turned[session.refresh] = session
        if session.token not in self.dead:
            self.dead.append(session.token)
        session.token, session.refresh = token, refresh

    def of(self, account: Account, *, but: Session | None = None) -> list[Session]:
        return [session for session in self.sessions if session.account is account and session is not but]

    def void_resets(self, account: Account) -> None:
        for token in [token for token, owner in self.resets.items() if owner is account]:
            self._void(token)

    def void_email_change(self, account: Account) -> None:
        account.pending = None
        for token in [token for token, (owner, _) in self.email_changes.items() if owner is account]:
            self._void(token)

    def _void(self, token: str) -> None:
        self.used_links.append(token)
        for links in (self.sign_ups, self.resets, self.email_changes):
            links.pop(token, None)  # type: ignore[attr-defined]
