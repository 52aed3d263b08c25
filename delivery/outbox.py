"""The outbox's worker: takes messages that are due, hands each to its channel, and tries again until it has left.

At least once: a worker that dies after a delivery and before its note leaves the message to the next one, with the
same `message_id`, by which the receiver can tell. Of what is delivered in turn that is one message. Any number of workers may run.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from delivery.bus import Bus
from models import outbox
from models.breaker import Resting
from models.instants import utc_now
from models.outbox import Message
from models.unit_of_work import Work, unit_of_work

log = logging.getLogger("kabinet.outbox")

Channel = Callable[[Message], Awaitable[None]]
"""One that has a `breaker` (models/breaker.py) is given no messages while that is open: they wait, and use up no attempt.

One that has a `turn`, a lock, is given a second argument too, to await when all is ready and nothing has left: the message's turn.
It lasts until the delivery is noted, so that of one process a single message has left and is not noted yet."""
Channels = Mapping[str, Channel]

BATCH = 20
LEASE = timedelta(seconds=90)
CHANNEL_SECONDS = 60.0  # well below the lease, which covers a batch
TURN_SECONDS = 30.0
PAUSE_AFTER_ERROR_SECONDS = 1.0
SHORTEST_WAIT_SECONDS = 0.05


class Undeliverable(Exception):
    """Raised by a channel for what no later attempt will deliver: a dead letter at once."""


class NotNow(Exception):
    """A message is not to leave now: its turn has not come for too long, or it is no longer this worker's."""


async def log_channel(message: Message) -> None:
    """The channel of the demo mode: what would leave the service goes to its log."""
    log.info("outbox %s %s %s", message.kind, message.message_id, message.payload)


@unit_of_work
async def lease(work: Work, kinds: list[str], limit: int) -> list[Message]:
    return await outbox.lease(work.connection, kinds, utc_now() + LEASE, limit)


@unit_of_work
async def note_sent(work: Work, message: Message) -> None:
    if not await outbox.mark_sent(work.connection, message):
        log.warning("outbox message %s left after its lease had run out", message.message_id)


@unit_of_work
async def note_failed(work: Work, message: Message, error: Exception) -> None:
    text = f"{type(error).__name__}: {error}"
    again_at = None if isinstance(error, Undeliverable) else outbox.next_attempt_at(message, utc_now())
    if again_at is not None:
        await outbox.mark_failed(work.connection, message, text, again_at)
        return
    await outbox.mark_dead(work.connection, message, text)
    log.error("outbox message %s (%s) is a dead letter: %s", message.message_id, message.kind, type(error).__name__)


@unit_of_work
async def give_back(work: Work, message: Message) -> None:
    await outbox.give_back(work.connection, message)


@unit_of_work
async def forget_sent(work: Work, older_than: timedelta = timedelta(days=7)) -> int:
    """Delete the notes of messages that left so long ago; gives their number."""
    return await work.execute("DELETE FROM outbox WHERE sent_at < $1", utc_now() - older_than)


async def deliver(channel: Channel, message: Message) -> None:
    """One attempt, and the note of how it ended. One that was cancelled, or not begun, is given back."""
    async with AsyncExitStack() as until_noted:
        try:
            async with asyncio.timeout(CHANNEL_SECONDS):
                await _hand_over(channel, message, until_noted)
        except asyncio.CancelledError:
            await give_back(message)
            raise
        except (Resting, NotNow):
            await give_back(message)
        except Exception as error:
            await note_failed(message, error)
        else:
            await note_sent(message)


async def _hand_over(channel: Any, message: Message, until_noted: AsyncExitStack) -> None:
    turn: asyncio.Lock | None = getattr(channel, "turn", None)
    if turn is None:
        await channel(message)
        return

    async def my_turn() -> None:
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await until_noted.enter_async_context(turn)
        except TimeoutError:
            raise NotNow from None
        if not await outbox.is_leased(message):  # its account was erased meanwhile, or the lease ran out
            raise NotNow

    await channel(message, my_turn)


async def deliver_due(channels: Channels, limit: int = BATCH) -> int:
    """Take one batch and deliver it; gives the number of messages tried."""
    open_now = [kind for kind, channel in channels.items() if not _rest(channel)]
    if not open_now:
        return 0
    if not all(_is_closed(channels[kind]) for kind in open_now):
        limit = 1  # whether a server is back is tried with one letter
    messages = await lease(open_now, limit)
    await asyncio.gather(*(deliver(channels[message.kind], message) for message in messages))
    return len(messages)


async def deliver_forever(channels: Channels, bus: Bus) -> None:
    """Deliver until cancelled; what was leased and not tried is given back then.

    Every batch runs in a task of its own: what an outage leaves in a task's context does not reach the next one.
    """
    with bus.listen(outbox.NEWS) as news:
        while True:
            try:
                tried = await asyncio.create_task(deliver_due(channels))
                if not tried:
                    await news.wait(await _seconds_to_next(channels, bus.poll_seconds))
            except Exception:
                log.exception("the outbox could not be worked on; it is tried again")
                await asyncio.sleep(PAUSE_AFTER_ERROR_SECONDS)


def _rest(channel: Channel) -> float:
    """The seconds for which the channel is to be left alone."""
    breaker = getattr(channel, "breaker", None)
    return breaker.wait(time.monotonic()) if breaker else 0.0


def _is_closed(channel: Channel) -> bool:
    breaker = getattr(channel, "breaker", None)
    return breaker is None or breaker.is_closed


async def _seconds_to_next(channels: Channels, longest: float) -> float:
    rest = min(map(_rest, channels.values()), default=0.0)
    if rest:
        return min(longest, rest)
    due_at = await outbox.next_due_at(channels)
    if due_at is None:
        return longest
    return min(longest, max(SHORTEST_WAIT_SECONDS, (due_at - utc_now()).total_seconds()))
