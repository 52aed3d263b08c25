"""Sign-ins that are at a provider just now."""

from datetime import timedelta

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.instants import Instant
from models.sessions import Session

LASTS = timedelta(minutes=10)
MOST_OPEN = 100


class ProviderSignIn(Model):
    """A buyer sent to a provider who has not come back yet; the row goes with the first callback that fits it.

    Of the state and of the browser's cookie only the SHA-256 is kept. `session` is set where a signed-in buyer adds a
    way of signing in. Instants are the machine's.
    """

    id = fields.BigIntField(primary_key=True)
    state_hash = fields.CharField(64, unique=True)
    browser_hash = fields.CharField(64)
    provider = fields.CharField(10)
    session: fields.ForeignKeyNullableRelation[Session] = fields.ForeignKeyField(
        "models.Session", null=True, on_delete=fields.CASCADE
    )
    session_id: int | None
    return_to = fields.CharField(500)
    region = fields.CharField(2)
    network = fields.CharField(45)
    ends_at = Instant()

    class Meta:
        table = "provider_sign_in"
        indexes = (Index(fields=("network", "ends_at")), Index(fields=("session_id",)))
