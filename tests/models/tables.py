"""Tables that only the tests of the machinery have."""

from tortoise import fields
from tortoise.models import Model

from models.instants import Instant


class Parcel(Model):
    id = fields.BigIntField(primary_key=True)
    label = fields.CharField(max_length=100, unique=True)
    weight = fields.BigIntField(default=0)
    seen_at = Instant(null=True)
    fragile = fields.BooleanField(default=False)

    class Meta:
        table = "parcel"
