"""Whether the database takes writes: one row, written by whoever asks."""

from tortoise import fields
from tortoise.models import Model

from models.columns import GivenKey
from models.unit_of_work import Work, unit_of_work


class Probe(Model):
    """One row, id 1, written to see whether writing works."""

    id = GivenKey()
    times = fields.BigIntField()

    class Meta:
        table = "probe"


@unit_of_work(seconds=2.0)
async def can_write(work: Work) -> bool:
    """True once a write has been committed.

    Raises:
        Failure: it was not.
    """
    await work.execute("INSERT INTO probe (id, times) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET times = probe.times + 1")
    return True
