"""What the worker does, in this order."""

from resolvers.erasures import erase_due_accounts, wipe_erased
from resolvers.events import prune_events
from resolvers.exports import prepare_exports
from resolvers.find_account import tell_owners
from resolvers.housekeeping import tidy
from resolvers.price_watch import fan_out
from resolvers.standing_signals import propose_cases
from resolvers.timers import run_due_timers
from resolvers.worker import Job

JOBS: tuple[Job, ...] = (
    run_due_timers, fan_out, tell_owners, erase_due_accounts, wipe_erased, prepare_exports, prune_events, propose_cases, tidy,
)  # fmt: skip
