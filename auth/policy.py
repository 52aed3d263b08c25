"""The policy of signing in: which ways are open in which region, as data from a file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from auth.providers.configured import configured_kinds
from models.accounts import IdentityKind
from models.refusals import SignUpClosed
from settings import Settings, WrongSetting

SHIPPED = Path(__file__).parent / "policies"
ELSEWHERE = "*"
PROVIDERS = frozenset({IdentityKind.VK, IdentityKind.OK, IdentityKind.GOOGLE, IdentityKind.MAILRU})

Kinds = frozenset[IdentityKind]


class Way(NamedTuple):
    """One way of signing in, and what it is open for in a region."""

    kind: IdentityKind
    sign_up: bool
    sign_in: bool
    link: bool


class Rules(BaseModel):
    """A region's: what is open, and the foreign providers, which a setting closes for everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sign_up: Kinds
    sign_in: Kinds
    link: Kinds
    foreign: Kinds = frozenset()


class PolicyFile(BaseModel):
    """A region's rules by its ISO 3166 code; `*` stands for all others."""

    model_config = ConfigDict(extra="forbid")

    regions: dict[str, Rules]


@dataclass(frozen=True)
class Policy:
    """The rules of a file, and what the settings close everywhere: foreign providers, those that are not there, and for
    newcomers the contacts that nobody could prove, for no letter or text message would leave."""

    regions: Mapping[str, Rules]
    denies_foreign: bool
    missing: Kinds
    unprovable: Kinds = frozenset()

    def way(self, region: str, kind: IdentityKind) -> Way:
        """What `kind` is open for in `region`."""
        rules = self._rules(region)
        if self.is_denied(region, kind):
            return Way(kind, False, False, False)
        provable = kind not in self.unprovable
        return Way(kind, provable and kind in rules.sign_up, kind in rules.sign_in, provable and kind in rules.link)

    def ways(self, region: str) -> list[Way]:
        """Every way."""
        return [self.way(region, kind) for kind in IdentityKind]

    def is_denied(self, region: str, kind: IdentityKind) -> bool:
        """Whether nobody signs in so there, not even who did before: the provider is closed there, or not configured."""
        return kind in self.missing or (self.denies_foreign and kind in self._rules(region).foreign)

    def require_sign_up(self, region: str, kind: IdentityKind) -> None:
        """Raises:
        SignUpClosed: with the ways by which an account can begin there.
        """
        if not self.way(region, kind).sign_up:
            raise SignUpClosed([way.kind.value for way in self.ways(region) if way.sign_up])

    def require_sign_in(self, region: str, kind: IdentityKind) -> None:
        """Raises:
        SignUpClosed: a way that exists is closed there, with those that are open.
        """
        if self.is_denied(region, kind):
            raise SignUpClosed([way.kind.value for way in self.ways(region) if way.sign_in])

    def require_link(self, region: str, kind: IdentityKind) -> None:
        """Raises:
        SignUpClosed: with the ways that can be added to an account there.
        """
        if not self.way(region, kind).link:
            raise SignUpClosed([way.kind.value for way in self.ways(region) if way.link])

    def _rules(self, region: str) -> Rules:
        return self.regions.get(region) or self.regions[ELSEWHERE]


def policy_of(settings: Settings) -> Policy:
    """The policy in force.

    Raises:
        WrongSetting: there is no such file, or it is no policy.
    """
    return _read(settings.sign_in_policy, settings.foreign_sign_in == "deny", PROVIDERS - configured_kinds(settings), _unprovable(settings))


def _unprovable(settings: Settings) -> Kinds:
    """The contacts to which nothing is sent; the demo shows what it would send."""
    unset = {IdentityKind.EMAIL: not settings.smtp_host, IdentityKind.PHONE: not settings.sms_url}
    return frozenset(kind for kind, is_unset in unset.items() if is_unset and not settings.is_demo)


@cache
def _read(named: str, denies_foreign: bool, missing: Kinds, unprovable: Kinds) -> Policy:
    path = SHIPPED / f"{named}.toml" if named in ("OPEN", "RU") else Path(named)
    try:
        regions = PolicyFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).regions
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise WrongSetting(f"KABINET_SIGN_IN_POLICY: {path}, {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, ValueError) as wrong:
        raise WrongSetting(f"KABINET_SIGN_IN_POLICY: {path} cannot be read: {wrong}") from None
    if ELSEWHERE not in regions:
        raise WrongSetting(f'KABINET_SIGN_IN_POLICY: {path} has no rules for all other regions, [regions."*"]')
    if any(not rules.foreign <= PROVIDERS for rules in regions.values()):
        raise WrongSetting(f"KABINET_SIGN_IN_POLICY: {path}: only providers can be foreign")
    if any(IdentityKind.PASSKEY in rules.sign_up for rules in regions.values()):
        raise WrongSetting(f"KABINET_SIGN_IN_POLICY: {path}: a passkey begins no account, it is added to one")
    return Policy(regions, denies_foreign, missing, unprovable)
