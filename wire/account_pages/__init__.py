"""The pages that links in mails and sign-ins by providers lead to, for whoever has no front end of their own at these paths.

Opening one changes nothing: scanners of mail follow links. A button runs the mutation with the link's token, or with the
challenge of a sign-in that waits for the second factor, which stands behind the # and so goes to no server.
"""

import html
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from delivery.texts import FALLBACK, spoken, text
from wire.graphiql import HEADERS

SECOND_FACTOR_PAGE = "/second-factor"
SCRIPT = Path(__file__).with_name("page.js").read_bytes()
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<script src="/account/page.js" defer></script>
</head>
<body>
{main}
</body>
</html>
"""
FORM = """<main data-operation="{operation}" data-done="{done}" data-failed="{failed}">
<h1>{title}</h1>
<form>
<p>{words}</p>
{fields}
<p><button>{button}</button></p>
</form>
<p role="status"></p>
<p hidden><a href="/">{go_on}</a></p>
<noscript><p>{script}</p></noscript>
</main>"""
CODE = '<p><label>{label}<br><input name="{name}" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" maxlength="40" required></label></p>'
NEW_PASSWORD = {"password": "NEW_PASSWORD", "passwordAgain": "NEW_PASSWORD_AGAIN"}
PASSWORD = '<p><label>{label}<br><input type="password" name="{name}" autocomplete="new-password" maxlength="128" required></label></p>'


def routes() -> list[Route]:
    """The pages and their script, in every mode."""

    async def activate(request: Request) -> Response:
        return _page(request, "activate", "ACTIVATE", NEW_PASSWORD, asked_later=True)

    async def reset_password(request: Request) -> Response:
        return _page(request, "resetPassword", "RESET", NEW_PASSWORD)

    async def confirm_email(request: Request) -> Response:
        return _page(request, "confirmEmailChange", "CONFIRM_EMAIL")

    async def second_factor(request: Request) -> Response:
        return _page(request, "answerSecondFactor", "FACTOR", {"code": "FACTOR_CODE"}, CODE)

    async def script(request: Request) -> Response:
        return Response(SCRIPT, media_type="text/javascript", headers={**HEADERS, "Cache-Control": "no-cache"})

    return [
        Route("/activate", activate, methods=["GET"]),
        Route("/reset-password", reset_password, methods=["GET"]),
        Route(SECOND_FACTOR_PAGE, second_factor, methods=["GET"]),
        Route("/confirm-email", confirm_email, methods=["GET"]),
        Route("/account/page.js", script, methods=["GET"]),
    ]


def language_of(request: Request) -> str:
    """What a page speaks: the browser's language, where it is one of ours."""
    return spoken(request.headers.get("accept-language")) or FALLBACK


def page(language: str, title: str, main: str, status: int = 200, policy: str = POLICY) -> Response:
    """A page of the buyer's account; `main` is HTML, `title` is not."""
    body = PAGE.format(language=language, title=html.escape(title), main=main)
    headers = {**HEADERS, "Cache-Control": "no-store", "Vary": "Accept-Language", "Content-Security-Policy": policy}
    return HTMLResponse(body, status, headers)


def _page(
    request: Request, operation: str, words: str, fields: dict[str, str] | None = None, field: str = PASSWORD, *, asked_later: bool = False
) -> Response:
    """One page, in the browser's language; nothing of the request stands in it.

    Fields that are `asked_later` are shown once the mutation has answered PASSWORD_NEEDED.
    """
    language = language_of(request)
    inputs = [field.format(label=html.escape(text(label, language)), name=name) for name, label in (fields or {}).items()]
    shell = "<fieldset hidden disabled>{}</fieldset>" if asked_later else "{}"
    said = {
        "title": text(f"{words}_TITLE", language),
        "words": text(f"{words}_TEXT", language),
        "button": text(f"{words}_BUTTON", language),
        "done": text(f"{words}_DONE", language),
        "failed": text("OVERLOADED", language),
        "go_on": text("PAGE_GO_ON", language),
        "script": text("PAGE_NEEDS_SCRIPT", language),
    }
    shown = {name: html.escape(sentence) for name, sentence in said.items()}
    main = FORM.format(operation=operation, fields=shell.format("\n".join(inputs)), **shown)
    return page(language, said["title"], main)
