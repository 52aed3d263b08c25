"""What the worker does, in this order."""

from resolvers.events import prune_events
from resolvers.housekeeping import tidy
from resolvers.price_watch import fan_out
from resolvers.timers import run_due_timers
from resolvers.worker import Job

JOBS: tuple[Job, ...] = (run_due_timers, fan_out, prune_events, tidy)
