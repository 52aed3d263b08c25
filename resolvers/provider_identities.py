"""A provider among an account's ways of signing in: whose it is, and adding it."""

from auth.provider_sign_in import Adding
from auth.viewer import Viewer
from models.accounts import Account, IdentityKind
from models.instants import utc_now
from models.reads import reads
from models.refusals import CodeInvalid
from models.standing import Deed, require_may
from models.unit_of_work import Work
from resolvers.sign_in_notices import tell

_INSERT = "INSERT INTO identity (account_id, kind, subject, verified_at) VALUES ($1, $2, $3, $4)"


async def owner_of_identity(work: Work, kind: IdentityKind, subject: str) -> int | None:
    """The account that signs in with it."""
    found = await work.fetch("SELECT account_id FROM identity WHERE kind = $1 AND subject = $2", kind.value, subject)
    return found[0][0] if found else None


async def add_identity(work: Work, viewer: Viewer, account_id: int, kind: IdentityKind, subject: str) -> None:
    """Let the account sign in with it from now on; the unique identity lets one account alone."""
    await work.execute(_INSERT, account_id, kind.value, subject, utc_now())
    work.record(viewer, "identity_added", "account", account_id, kind=kind.value)


async def add_by_mailbox(work: Work, viewer: Viewer, account_id: int, adding: Adding) -> None:
    """Add what a sign-in by a mailbox has waited with for the second factor. Call it with the account's row shared.

    Raises:
        NotInStanding: the account was blocked meanwhile, and gets no further way in. CodeInvalid: meanwhile the mailbox has
            become somebody else's, or the provider another account's.
    """
    account = await reads(Account).one("id = $1", account_id)
    require_may(account, Deed.CHANGE_WAYS_IN, viewer.now)
    held = await work.fetch("SELECT 1 FROM identity WHERE id = $1 AND account_id = $2 AND verified_at IS NOT NULL", adding.address_id, account_id)
    if held and await work.execute(f"{_INSERT} ON CONFLICT DO NOTHING", account_id, adding.kind.value, adding.subject, utc_now()):
        work.record(viewer, "identity_added", "account", account_id, kind=adding.kind.value)
        await notify(work, account_id, adding.kind)
    elif await owner_of_identity(work, adding.kind, adding.subject) != account_id:  # else a sign-in in another tab was quicker
        raise CodeInvalid(field="code")


async def notify(work: Work, account_id: int, kind: IdentityKind) -> None:
    """Tell the account's owner that there is one more way in."""
    await tell(work, account_id, "sign_in_method_added", kind=kind.value, masked="")
