"""Health: whether the process lives, and whether it can take requests."""

import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from models.readiness import require_writable
from models.refusals import Failure
from wire.process import Service

LIVE, READY = "/health/live", "/health/ready"
KNOWN_SECONDS = 1.0
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def routes(service: Service) -> list[Route]:
    """/health/live answers while the loop turns; /health/ready while requests are taken and the database writes."""
    known: dict[str, float | bool] = {"at": 0.0, "ready": False}

    async def live(request: Request) -> PlainTextResponse:
        return PlainTextResponse("live\n", headers=HEADERS)

    async def ready(request: Request) -> PlainTextResponse:
        if time.monotonic() - known["at"] > KNOWN_SECONDS:
            known["at"] = time.monotonic()
            try:
                await require_writable()
                known["ready"] = True
            except Failure:
                known["ready"] = False
        ready = bool(known["ready"]) and not service.draining
        return PlainTextResponse("ready\n" if ready else "not ready\n", 200 if ready else 503, headers=HEADERS)

    return [Route(LIVE, live), Route(READY, ready)]
