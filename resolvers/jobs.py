"""What the worker does, in this order."""

from resolvers.housekeeping import tidy
from resolvers.price_watch import fan_out
from resolvers.worker import Job

JOBS: tuple[Job, ...] = (fan_out, tidy)
