"""Calls to providers: no redirects, no compressed answers, 1 MiB at most, 10 seconds for everything a request needs.

A provider that is away or slow is left alone for a while (models/breaker.py).
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from authlib.integrations.base_client import OAuthError

from models.breaker import Breaker, Resting
from models.refusals import ErrorCode, Failure

CONNECT_SECONDS, TOTAL_SECONDS = 3.0, 10.0
LARGEST_ANSWER = 1024 * 1024
MOST_AT_ONCE = 50
RETRY_SECONDS = 30.0
OUR_FAULT = {"invalid_client", "unauthorized_client", "server_error", "temporarily_unavailable"}

log = logging.getLogger("kabinet.providers")


class Rejected(Exception):
    """What came from the provider does not bear the sign-in out: nobody is signed in."""


class TooLarge(ValueError):
    """An answer that nobody reads to its end."""


# What a provider's failing is known by. Malformed answers are not: with a strange `code` a stranger might provoke them,
# and have the provider left alone for everybody.
ILL = (TimeoutError, httpx2.HTTPError, TooLarge)


class Outbound:
    """The connections to providers. They outlive the clients that use them: `close` ends them."""

    def __init__(self) -> None:
        self._inner: httpx2.AsyncHTTPTransport | None = None
        self._running = 0
        self.breakers: dict[str, Breaker] = {}

    async def whole_answer(self, request: httpx2.Request) -> httpx2.Response:
        """What the provider answers, read to its end.

        Raises:
            TooLarge: it is, or it is compressed, so that nobody knows how large it is.
        """
        if self._inner is None:
            self._inner = httpx2.AsyncHTTPTransport()  # not before it is needed: reading the certificates takes a while
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        parts, size = [], 0
        try:
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise TooLarge("the answer is compressed")
            async for part in response.aiter_raw():
                parts.append(part)
                size += len(part)
                if size > LARGEST_ANSWER:
                    raise TooLarge("the answer is too large")
        finally:
            await response.aclose()
        return httpx2.Response(response.status_code, headers=response.headers, content=b"".join(parts), request=request)

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.aclose()

    @asynccontextmanager
    async def exchange(self, provider: str) -> AsyncIterator["Exchange"]:
        """Everything that one request of ours asks of a provider, by the transport that it yields.

        Raises:
            Rejected: the provider does not know the code, or knows it for somebody else.
            Failure: UPSTREAM_UNAVAILABLE, it is away, slow, or answers what it should not, or has done so lately; OVERLOADED.
        """
        if self._running >= MOST_AT_ONCE:
            raise Failure(ErrorCode.OVERLOADED, retry_after_seconds=1)
        breaker = self.breakers.setdefault(provider, Breaker(provider))
        if rest := breaker.wait(time.monotonic()):  # also where nothing would be asked yet: the way back would lead nowhere
            raise _unavailable(rest)
        self._running += 1
        try:
            yield Exchange(self, breaker)
        except OAuthError as error:
            if str(error.error) not in OUR_FAULT:
                raise Rejected from None
            log.error("%s refuses our client: its id or secret is wrong", provider)
            raise _unavailable() from None
        except Resting as resting:
            raise _unavailable(resting.seconds) from None
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, ValueError, TypeError, OverflowError, RecursionError) as error:
            log.warning("%s does not answer as it should: %s", provider, type(error).__name__)
            raise _unavailable() from error
        finally:
            self._running -= 1


class Exchange(httpx2.AsyncBaseTransport):
    """The transport of the calls that one request of ours makes, which all together have 10 seconds."""

    def __init__(self, outbound: Outbound, breaker: Breaker):
        self._outbound, self._breaker = outbound, breaker
        self._ends_at = asyncio.get_running_loop().time() + TOTAL_SECONDS

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The whole answer.

        Raises:
            Resting: the provider is left alone. TooLarge. HTTPError: it is away, or it fails. TimeoutError.
        """
        with self._breaker.asked(ILL):
            async with asyncio.timeout_at(self._ends_at):
                response = await self._outbound.whole_answer(request)
            if response.status_code >= 500:
                raise httpx2.HTTPStatusError(f"HTTP {response.status_code}", request=request, response=response)
        return response


def _unavailable(seconds: float = RETRY_SECONDS) -> Failure:
    return Failure(ErrorCode.UPSTREAM_UNAVAILABLE, retry_after_seconds=max(1, math.ceil(seconds)))
