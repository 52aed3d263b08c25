"""The providers of this service, from its settings: one without a client id does not exist."""

from auth.providers.google import Google
from auth.providers.mailru import MailRu
from auth.providers.ok import Ok
from auth.providers.outbound import Outbound
from auth.providers.provider import Provider
from auth.providers.vk import Vk
from models.accounts import IdentityKind
from settings import Settings

DEMO_CLIENT, DEMO_SECRET, DEMO_KEY = "kabinet-demo", "kabinet-demo-secret", "KABINETDEMOKEY"


def configured(settings: Settings, outbound: Outbound) -> dict[str, Provider]:
    """The providers by the name that stands in their addresses. In demo mode those without a client id are the local
    identity provider's."""
    found: dict[str, Provider] = {}
    if settings.vk_client_id:
        found["vk"] = Vk(outbound, settings.vk_url, settings.vk_client_id)
    if settings.ok_client_id:
        secret, own = settings.ok_client_secret.get_secret_value(), {"application_key": settings.ok_application_key}
        found["ok"] = Ok(outbound, settings.ok_url, settings.ok_client_id, secret, api_url=settings.ok_api_url, **own)
    if settings.mailru_client_id:
        secret = settings.mailru_client_secret.get_secret_value()
        found["mailru"] = MailRu(outbound, settings.mailru_url, settings.mailru_client_id, secret)
    if settings.google_client_id:
        secret = settings.google_client_secret.get_secret_value()
        found["google"] = Google(outbound, settings.google_url, settings.google_client_id, secret)
    if settings.is_demo and settings.demo_idp_url:
        found = {**_of_the_demo(settings.demo_idp_url.rstrip("/"), outbound), **found}
    return found


def configured_kinds(settings: Settings) -> frozenset[IdentityKind]:
    """The kinds of the providers that `configured` gives."""
    if settings.is_demo and settings.demo_idp_url:
        return frozenset(provider.kind for provider in (Vk, Ok, MailRu, Google))
    told = {
        IdentityKind.VK: settings.vk_client_id,
        IdentityKind.OK: settings.ok_client_id,
        IdentityKind.MAILRU: settings.mailru_client_id,
        IdentityKind.GOOGLE: settings.google_client_id,
    }
    return frozenset(kind for kind, client_id in told.items() if client_id)


def _of_the_demo(url: str, outbound: Outbound) -> dict[str, Provider]:
    return {
        "vk": Vk(outbound, f"{url}/vk", DEMO_CLIENT),
        "ok": Ok(outbound, f"{url}/ok", DEMO_CLIENT, DEMO_SECRET, api_url=f"{url}/ok", application_key=DEMO_KEY),
        "mailru": MailRu(outbound, f"{url}/mailru", DEMO_CLIENT, DEMO_SECRET),
        "google": Google(outbound, f"{url}/google", DEMO_CLIENT, DEMO_SECRET),
    }
