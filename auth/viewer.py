"""Who is asking, and when: fixed once a request, handed to every operation as its first argument."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.refusals import Forbidden, Unauthenticated


@dataclass(slots=True)
class Viewer:
    """A buyer (`account_id`, the row `account` and `session_id`), a staff token (`staff_id` and `scopes`), or nobody.

    `now` is the domain's clock at the start of the request, UTC. `refused` is true where a credential came and is
    not valid: such a viewer is told UNAUTHENTICATED by whatever needs one. `device` is the browser's own token, from an
    earlier sign-in.
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
    refused: bool = False

    def require_buyer(self) -> int:
        """The account's id.

        Raises:
            Unauthenticated: nobody is signed in.
        """
        if self.account_id is None:
            raise Unauthenticated
        return self.account_id

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
