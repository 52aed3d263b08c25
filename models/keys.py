"""The service's own secret, kept for processes that are not given one."""

from tortoise import fields
from tortoise.models import Model


class ServiceKey(Model):
    """A secret that the first process made and all others read; unused where KABINET_SECRET_KEY is set."""

    name = fields.CharField(20, primary_key=True)
    secret = fields.CharField(64)

    class Meta:
        table = "service_key"
