"""Counters of traffic in the tests' own process: forgotten, or full."""

from auth.traffic import Bound, traffic


def forget_traffic() -> None:
    """As if nobody had asked for anything lately."""
    for own in traffic()._own.values():
        own.kept.storage.clear()
        own.kept.expirations.clear()


async def fill(bound: Bound, who: str) -> int:
    """Reach the bound; how many more were taken. Without Redis windows begin by the clock: one that begins meanwhile takes one more."""
    taken = 0
    while not await traffic().take(bound, who):
        taken += 1
    return taken
