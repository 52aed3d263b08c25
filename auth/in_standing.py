"""Standing inside a unit of work. The request's own look at it is as old as the request, which may have waited for a provider."""

from typing import Any

from auth.viewer import Viewer
from models.accounts import Account, Level
from models.database import for_update
from models.reads import reads
from models.refusals import Unauthenticated
from models.standing import Deed, require_may


async def hold_in_standing(viewer: Viewer, deed: Deed) -> Any:
    """The viewer's account as it is now, locked: a block comes before the unit, and is seen here, or after it.

    Raises:
        NotInStanding. Unauthenticated: the account has been erased meanwhile.
    """
    account = await reads(Account).one("id = $1" + for_update(), viewer.require_buyer())
    assert account is not None
    if account.standing_level is Level.CLOSED:
        raise Unauthenticated
    require_may(account, deed, viewer.now)
    return account
