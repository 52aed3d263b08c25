"""The demo world: a small shop with buyers to sign in as, filled through the same functions as the staff half."""

from collections.abc import Callable

from auth.passwords import Passwords
from auth.viewer import Viewer
from models.clock import now
from models.database import fetch
from models.sessions import SCOPES
from resolvers import accounts
from resolvers.staff import create_token
from settings import Settings

PASSWORD = "demo-Kabinet-2026"
STAFF_TOKEN = "kst_demo-staff-token-of-the-demo-world"
BUYERS = (("anna", "Анна Смирнова", "ru", "RU", "RUB"), ("boris", "Борис Орлов", "ru", "RU", "RUB"), ("vera", "Vera Novak", "en", "CZ", "EUR"))


def buyers() -> list[dict[str, str]]:
    """Who may be signed in as."""
    return [{"email": f"{name}@demo.example", "password": PASSWORD, "displayName": shown} for name, shown, *_ in BUYERS]


async def fill_if_empty(settings: Settings, progress: Callable[[int], object]) -> bool:
    """Fill the open database, if it has no buyers yet; whether it did. `progress` is told how many rows were written."""
    if await fetch("SELECT 1 FROM account LIMIT 1"):
        return False
    await create_token("demo", SCOPES, STAFF_TOKEN)
    viewer = Viewer(now=await now(), staff_id=1, scopes=frozenset(SCOPES))
    given = [
        accounts.GivenAccount(name, shown, f"{name}@demo.example", None, language, region, currency, PASSWORD)
        for name, shown, language, region, currency in BUYERS
    ]
    await accounts.put_accounts(viewer, Passwords(settings), given, demo=True)
    progress(len(given))
    return True
