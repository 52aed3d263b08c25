"""Keys of the service's own signatures and of what it keeps encrypted, each made of its secret for one purpose.

While the secret is being changed there are two: `KABINET_SECRET_KEY` makes, `KABINET_SECRET_KEY_PREVIOUS` is accepted.
"""

import base64
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from models.database import fetch
from models.unit_of_work import Work, unit_of_work
from settings import Settings


class Undecipherable(Exception):
    """What was kept has been encrypted for another purpose, under a secret that is no longer accepted, or changed since."""


async def key_for(purpose: str, settings: Settings) -> bytes:
    """The key to make something with for one purpose: the same in every process, useless for another purpose."""
    return (await keys_for(purpose, settings))[0]


async def keys_for(purpose: str, settings: Settings) -> list[bytes]:
    """The keys that something may have been made with: that in force, then the one before it."""
    known = [settings.secret_key.get_secret_value() or await _kept(), settings.secret_key_previous.get_secret_value()]
    return [hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256) for secret in known if secret]


async def in_force(settings: Settings) -> str:
    """Which secret makes things now: a name that tells nothing else of it."""
    return (await key_for("name", settings)).hex()[:16]


async def encrypt(purpose: str, text: str, settings: Settings) -> str:
    """`text` for the database, of no use to whoever reads it there.

    A purpose that names the row too (`totp:17`) binds it to the row: moved to another it is undecipherable.
    """
    return (await _fernet(purpose, settings)).encrypt(text.encode()).decode()


async def decrypt(purpose: str, kept: str, settings: Settings) -> str:
    """The text that was encrypted for the same purpose.

    Raises:
        Undecipherable
    """
    try:
        return (await _fernet(purpose, settings)).decrypt(kept.encode()).decode()
    except InvalidToken:
        raise Undecipherable from None


async def renewed(purpose: str, kept: str, settings: Settings) -> str:
    """The same text encrypted under the secret in force, so that the one before it may be dropped.

    Raises:
        Undecipherable
    """
    return await encrypt(purpose, await decrypt(purpose, kept, settings), settings)


async def _fernet(purpose: str, settings: Settings) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in await keys_for(purpose, settings)])


async def _kept() -> str:
    found = await fetch("SELECT secret FROM service_key WHERE name = 'own'")
    return found[0][0] if found else await _made()


@unit_of_work
async def _made(work: Work) -> str:
    await work.execute("INSERT INTO service_key (name, secret) VALUES ('own', $1) ON CONFLICT DO NOTHING", secrets.token_hex(32))
    return (await work.fetch("SELECT secret FROM service_key WHERE name = 'own'"))[0][0]
