"""Ways of signing in to one's account: what there is, taking one away, and whom a policy would leave without any."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from auth.in_standing import hold_in_standing
from auth.phones import can_be_asked_for
from auth.policy import Policy, Way
from auth.step_up import require_recent
from auth.viewer import Viewer
from models.accounts import IdentityKind, is_region
from models.database import any_of, fetch
from models.instants import as_instant
from models.refusals import BadUserInput, NotFound
from models.sign_in_methods import REACHING, KnownPasskey, Method, has_credential, masked, require_unlinkable
from models.standing import Deed
from models.unit_of_work import Work, unit_of_work
from resolvers.sign_in_notices import tell

BATCH = 1000

METHODS = (
    "SELECT i.account_id, a.region, i.id, i.kind, i.subject, i.verified_at, p.account_id IS NOT NULL, k.name, k.backed_up, k.last_used_at "
    "FROM identity i JOIN account a ON a.id = i.account_id LEFT JOIN password p ON p.account_id = i.account_id "
    "LEFT JOIN passkey k ON k.identity_id = i.id WHERE "
)


class Stranded(NamedTuple):
    """An account that a policy opens no way in for. `locked_out`: nor do its present ways work any longer."""

    account_id: int
    external_id: str | None
    locked_out: bool


def sign_in_policy(policy: Policy, region: str) -> list[Way]:
    """What each way of signing in is open for in a region.

    Raises:
        BadUserInput: no ISO 3166 code.
    """
    if not is_region(region):
        raise BadUserInput(field="region")
    return policy.ways(region)


async def by_accounts(account_ids: Iterable[int], policy: Policy) -> dict[int, list[Method]]:
    """The ways of signing in to each account, the oldest first."""
    found = await fetch(f"{METHODS}{any_of('i.account_id', 1)} ORDER BY i.id", list(account_ids))
    methods: dict[int, list[Method]] = {}
    for account_id, region, id, kind, subject, verified_at, has_password, name, backed_up, used_at in found:
        kind = IdentityKind(kind)
        usable = bool(verified_at and has_credential(kind, has_password) and not policy.is_denied(region, kind))
        usable = usable and (kind is not IdentityKind.PHONE or await can_be_asked_for(subject))
        passkey = None if name is None else KnownPasskey(name, bool(backed_up), as_instant(used_at))
        methods.setdefault(account_id, []).append(Method(id, kind, subject, as_instant(verified_at), usable, passkey))
    return methods


@unit_of_work
async def unlink_sign_in_method(work: Work, viewer: Viewer, policy: Policy, method_id: int) -> None:
    """Take a way of signing in away from the viewer's account, its contact with it, and tell them.

    Raises:
        ReauthRequired. NotFound: missing, or another buyer's. Unavailable: LAST_SIGN_IN_METHOD.
    """
    account_id = viewer.require_buyer()
    await require_recent(viewer)
    # Two who take away one of the last two ways both see the other: the account's row lets them pass one by one.
    await hold_in_standing(viewer, Deed.CHANGE_WAYS_IN)
    methods = (await by_accounts([account_id], policy)).get(account_id, [])
    method = next((method for method in methods if method.id == method_id), None)
    if method is None:
        raise NotFound(field="id")
    require_unlinkable(method, methods)
    # Told at the address in force until now, which may be the one that goes.
    await tell(work, account_id, "sign_in_method_removed", kind=method.kind.value, masked=masked(method.kind, method.subject) or "")
    await work.execute("DELETE FROM identity WHERE id = $1", method.id)
    await work.execute("DELETE FROM email_change WHERE account_id = $1", account_id)
    if method.kind in REACHING:  # whoever proves it for an account of theirs is told nothing of this one's
        await work.execute(f"UPDATE account SET {method.kind.value.lower()} = NULL WHERE id = $1", account_id)
    work.record(viewer, "sign_in_method_removed", "account", account_id, kind=method.kind.value)


async def stranded(policy: Policy) -> AsyncIterator[Stranded]:
    """The accounts whose ways that work today are all closed by `policy`, by id."""
    last = 0
    while True:
        accounts = await fetch(f"SELECT id, external_id, region FROM account WHERE id > $1 ORDER BY id LIMIT {BATCH}", last)
        if not accounts:
            return
        last = accounts[-1][0]
        working = await _working([account_id for account_id, *_ in accounts])
        for account_id, external_id, region in accounts:
            kinds = working.get(account_id, set())
            if kinds and not any(policy.way(region, kind).sign_in for kind in kinds):
                yield Stranded(account_id, external_id, all(policy.is_denied(region, kind) for kind in kinds))


async def _working(account_ids: list[int]) -> dict[int, set[IdentityKind]]:
    """The kinds of identities that each account could sign in by, whatever the policy."""
    working: dict[int, set[IdentityKind]] = {}
    rows: Any = await fetch(f"{METHODS}{any_of('i.account_id', 1)} AND i.verified_at IS NOT NULL", account_ids)
    for account_id, _, _, kind, _, _, has_password, *_ in rows:
        if has_credential(IdentityKind(kind), has_password):
            working.setdefault(account_id, set()).add(IdentityKind(kind))
    return working
