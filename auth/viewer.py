"""Who is asking, and when: fixed once a request, handed to every operation as its first argument."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.refusals import Forbidden, Unauthenticated
from models.standing import Deed, require_may


@dataclass(slots=True)
class Viewer:
    """A buyer (`account_id`, the row `account` and `session_id`), a staff token (`staff_id` and `scopes`), or nobody.

    `account` is None in the events of a subscription, which outlive it: they read it anew (`Context.accounts`).
    `now` is the domain's clock at the start of the request, UTC. `refused` is true where a credential came and is
    not valid: such a viewer is told UNAUTHENTICATED by whatever needs one. `device` is the browser's own token, from an
    earlier sign-in, `browser` the one that it was given when it asked for something that a mail's link finishes.
    `by_cookie` and `by_bearer` say how a buyer's session came, both where both bring the same token; `remembered`,
    whether its cookie outlives the browser; `session_until`, when it ends unless it is used; `token_hash` is of the token
    that a buyer's session came by.
    """

    now: datetime
    account_id: int | None = None
    account: Any = None
    session_id: int | None = None
    staff_id: int | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    language: str = "en"
    address: str = ""
    agent: str = ""
    device: str | None = None
    browser: str | None = None
    refused: bool = False
    by_cookie: bool = False
    by_bearer: bool = False
    remembered: bool = True
    session_until: datetime | None = None
    token_hash: str | None = None

    def require_buyer(self) -> int:
        """The account's id.

        Raises:
            Unauthenticated: nobody is signed in.
        """
        if self.account_id is None:
            raise Unauthenticated
        return self.account_id

    def require_may(self, deed: Deed) -> None:
        """Refuse a buyer whose standing does not allow it; whoever is not signed in has none.

        Raises:
            NotInStanding: ACCOUNT_RESTRICTED or ACCOUNT_BLOCKED.
        """
        if self.account is not None:
            require_may(self.account, deed, self.now)

    def require_scope(self, scope: str) -> int:
        """The staff token's id.

        Raises:
            Unauthenticated: no valid staff token came. Forbidden: it lacks the scope.
        """
        if self.staff_id is None:
            raise Unauthenticated
        if scope not in self.scopes:
            raise Forbidden(scope)
        return self.staff_id
