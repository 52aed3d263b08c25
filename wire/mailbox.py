"""/dev/mailbox: the letters that the demo mode keeps, for people and as JSON for a front-end's tests. In demo mode alone."""

import html
import re
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from delivery import mailbox
from models.letters import Letter
from wire.graphiql import HEADERS
from wire.process import Service

LINK = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)\]]")
LIST_POLICY = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
LETTER_POLICY = LIST_POLICY.replace("style-src 'self'; img-src data:", "style-src 'unsafe-inline'")  # a mail's styles stand at its elements
NOTHING = "default-src 'none'; frame-ancestors 'none'"
STYLE = """body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #1c1c1a }
article { margin: 1.5rem 0; padding: 1rem 1.25rem; border: 1px solid #d8d8d4; border-radius: .5rem }
h2 { margin: 0; font-size: 1.1rem }
article p { margin: .25rem 0; color: #6b6b66 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mailbox</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/dev/mailbox.css">
</head>
<body>
<h1>Mailbox</h1>
<p>What this demo would have sent, the newest first. <a href="/dev/mailbox.json">As JSON</a></p>
{letters}
</body>
</html>
"""
# Who opens the page right after asking for a letter is quicker than the worker that brings it.
NONE = '<meta http-equiv="refresh" content="2">\n<p>There are no letters yet.</p>'


def routes(service: Service) -> list[Route]:
    """The page, the same as JSON, and each letter's HTML; `?to=` leaves the letters to one address or number."""
    if not service.settings.is_demo:
        return []
    paths = {"": _page, ".json": _json, ".css": _style, "/{number:int}": _html}
    return [Route(f"/dev/mailbox{path}", endpoint, methods=["GET"]) for path, endpoint in paths.items()]


async def _page(request: Request) -> Response:
    letters = await _asked(request)
    shown = "\n".join(map(_shown, letters)) or NONE
    return _answer(HTMLResponse(PAGE.format(letters=shown)), LIST_POLICY)


async def _json(request: Request) -> Response:
    letters = await _asked(request)
    return _answer(Response(orjson.dumps([_told(letter) for letter in letters]), media_type="application/json"), NOTHING)


async def _style(request: Request) -> Response:
    return _answer(Response(STYLE, media_type="text/css"), NOTHING)


async def _html(request: Request) -> Response:
    found = [letter.html for letter in await mailbox.latest() if letter.id == request.path_params["number"]]
    if not found or found[0] is None:
        return _answer(Response(status_code=404), NOTHING)
    return _answer(HTMLResponse(found[0]), LETTER_POLICY)


async def _asked(request: Request) -> list[Letter]:
    to = request.query_params.get("to")
    return [letter for letter in await mailbox.latest() if to in (None, letter.recipient)]


def _answer(response: Response, policy: str) -> Response:
    response.headers.update({**HEADERS, "Cache-Control": "no-store", "Content-Security-Policy": policy})
    return response


def _told(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "messageId": letter.message_id,
        "kind": letter.kind,
        "template": letter.template,
        "to": letter.recipient,
        "language": letter.language,
        "subject": letter.subject,
        "text": letter.text,
        "html": letter.html,
        "links": LINK.findall(letter.text),
        "wantedAt": letter.wanted_at,
    }


def _shown(letter: Letter) -> str:
    title = html.escape(letter.subject or letter.template)
    about = f"{letter.kind} to {html.escape(letter.recipient)}, {letter.wanted_at:%Y-%m-%d %H:%M:%S} UTC"
    as_html = f' · <a href="/dev/mailbox/{letter.id}">as HTML</a>' if letter.html else ""
    return f'<article lang="{html.escape(letter.language)}"><h2>{title}</h2><p lang="en">{about}{as_html}</p><pre>{_linked(letter.text)}</pre></article>'


def _linked(text: str) -> str:
    """The text as HTML, its addresses as links."""
    parts, end = [], 0
    for found in LINK.finditer(text):
        link = html.escape(found[0])
        parts += [html.escape(text[end : found.start()]), f'<a href="{link}">{link}</a>']
        end = found.end()
    return "".join(parts) + html.escape(text[end:])
