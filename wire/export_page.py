"""/export?token=…: the page behind the link to a buyer's data. Opening it takes nothing, since scanners of mail follow links;
its button downloads the file, once."""

import html
import secrets

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from delivery.texts import text
from models.instants import utc_now
from models.refusals import CodeInvalid, ErrorCode, Failure
from resolvers.exports import take_export, unpacked_in
from wire.account_pages import POLICY, language_of, page
from wire.errors import logged
from wire.graphiql import HEADERS

FORM_POLICY = POLICY.replace("form-action 'none'", "form-action 'self'")
LONGEST_TOKEN = 200
MAIN = "<main>\n<h1>{title}</h1>\n{content}\n</main>"
FORM = '<form method="post">\n<p>{words}</p>\n<p><button>{button}</button></p>\n</form>\n<p role="status"></p>'


def routes() -> list[Route]:
    """The page and its download, in every mode."""
    return [Route("/export", _show, methods=["GET"]), Route("/export", _download, methods=["POST"])]


async def _show(request: Request) -> Response:
    """The same page whatever the token is; the form goes to the address that was opened."""
    language = language_of(request)
    words, button = (html.escape(text(name, language)) for name in ("EXPORT_TEXT", "EXPORT_BUTTON"))
    return _page(language, FORM.format(words=words, button=button))


async def _download(request: Request) -> Response:
    token = request.query_params.get("token", "")
    try:
        content = await take_export(token if len(token) <= LONGEST_TOKEN else "")
    except CodeInvalid:
        return _told(request, "EXPORT_OVER", 410)
    except Failure as failure:
        return _told(request, failure.text, 503)
    except Exception as bug:
        logged(bug, secrets.token_hex(8))
        return _told(request, ErrorCode.INTERNAL_SERVER_ERROR.name, 500)
    headers = {**HEADERS, "Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="kabinet-{utc_now():%Y-%m-%d}.json"'}
    return StreamingResponse(unpacked_in(content), media_type="application/json", headers=headers)


def _told(request: Request, name: str, status: int) -> Response:
    language = language_of(request)
    return _page(language, f'<p role="status">{html.escape(text(name, language))}</p>', status)


def _page(language: str, content: str, status: int = 200) -> Response:
    title = text("EXPORT_TITLE", language)
    return page(language, title, MAIN.format(title=html.escape(title), content=content), status, FORM_POLICY)
