"""Ways of signing in to one account: which of them work, how they are shown, and which may go."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from models.accounts import IdentityKind
from models.refusals import ErrorCode, Unavailable

REACHING = frozenset({IdentityKind.EMAIL, IdentityKind.PHONE})


class KnownPasskey(NamedTuple):
    """What tells the buyer's passkeys apart."""

    name: str
    backed_up: bool
    last_used_at: datetime | None


class Method(NamedTuple):
    """An identity of an account. `usable`: the buyer can sign in by it now."""

    id: int
    kind: IdentityKind
    subject: str
    verified_at: datetime | None
    usable: bool
    passkey: KnownPasskey | None = None


def has_credential(kind: IdentityKind, has_password: bool) -> bool:
    """Whether what signs in by such an identity exists: for an e-mail address a password, for others they themselves."""
    return has_password or kind is not IdentityKind.EMAIL


def is_at_risk(methods: Sequence[Method]) -> bool:
    """Whether the buyer would be locked out by losing one way."""
    return sum(method.usable for method in methods) < 2


def cannot_be_reached(methods: Sequence[Method]) -> bool:
    """Whether there is neither an e-mail address nor a phone by which the account could be found again."""
    return not any(method.verified_at and method.kind in REACHING for method in methods)


def require_unlinkable(method: Method, methods: Sequence[Method]) -> None:
    """Refuse to take away the last way in.

    Raises:
        Unavailable: LAST_SIGN_IN_METHOD.
    """
    if method.usable and not any(other.usable for other in methods if other.id != method.id):
        raise Unavailable(ErrorCode.LAST_SIGN_IN_METHOD, field="id")


def masked(kind: IdentityKind, subject: str) -> str | None:
    """The subject as its owner knows it again and others cannot read it: `i***@m***.ru`, `+7***1234`; None where it says nothing."""
    if kind is IdentityKind.PHONE:
        return f"{subject[:2]}***{subject[-4:]}"
    if kind is not IdentityKind.EMAIL:
        return None
    local, _, domain = subject.rpartition("@")
    name, point, end = domain.rpartition(".")
    return f"{local[:1]}***@{(name or end)[:1]}***{point + end if name else ''}"
