"""Captchas: solutions that have had their use."""

from tortoise import fields
from tortoise.models import Model

from models.instants import Instant


class UsedCaptcha(Model):
    """A challenge whose solution was used; kept until the challenge is too old anyway. `ends_at` is the machine's."""

    signature_hash = fields.CharField(64, primary_key=True)
    ends_at = Instant()

    class Meta:
        table = "used_captcha"
