"""By what names the service is called, and from where: Host headers and proxies are believed only as far as settings say."""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import Scope

from settings import Mode, Settings

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Hosts:
    """Which Host headers are answered: those of `allowed_hosts`; without any, in production that of the public URL."""

    def __init__(self, settings: Settings):
        self._any = settings.mode is not Mode.PRODUCTION and not settings.allowed_hosts
        self._names = {name.lower() for name in settings.allowed_hosts}  # any port, unless the name has one
        self._exact = set() if self._names else _names_of(settings.base_url)

    def is_known(self, host: bytes | None) -> bool:
        """Whether a request for `host` (name, with or without a port) is for us; one without a host never is."""
        if not host:
            return False
        name = host.decode("latin-1").lower()
        return self._any or name in self._exact or name in self._names or _without_port(name) in self._names


class Proxies:
    """Whose X-Forwarded-For counts."""

    def __init__(self, settings: Settings):
        self._networks = [ipaddress.ip_network(name, strict=False) for name in settings.forwarded_allow_ips]

    def address(self, scope: Scope, forwarded: bytes | None) -> str:
        """Where a request comes from: the last hop that is not one of our proxies. Empty on a local socket."""
        client = scope.get("client")
        address: str = client[0] if client else ""
        if forwarded is None or not self._networks or not self._is_ours(address):
            return address
        for hop in reversed(forwarded.decode("latin-1").split(",")):
            hop = hop.strip().removeprefix("[").removesuffix("]")
            if _address(hop) is None:
                return address
            address = hop
            if not self._is_ours(hop):
                break
        return address

    def _is_ours(self, address: str) -> bool:
        parsed = _address(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def _names_of(url: str) -> set[str]:
    """The host of `url` as a client may write it: a default port may stand there or not, another one must."""
    parts = urlsplit(url)
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    default = _DEFAULT_PORTS.get(parts.scheme)
    names = {f"{name}:{parts.port or default}"}
    return names | {name} if parts.port in (None, default) else names


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


@lru_cache(maxsize=4096)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; of an IPv4 one that is written as IPv6, as a socket for both writes it, the IPv4 one."""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
