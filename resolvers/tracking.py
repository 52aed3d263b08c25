"""Tracking: what carriers say of parcels, and the deliveries that follow from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from auth.viewer import Viewer
from models.database import any_of, for_update
from models.orders import OVER, Facts, facts_of, status
from models.protection import after_delivery
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, Refusal
from models.rows import insert_rows
from models.shipments import DELIVERED, Shipment, TrackingEvent, may_follow, require_word
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of
from resolvers.orders import Change, asking, locked, save, tell


@dataclass(frozen=True, slots=True)
class Scan:
    """What the carrier says of the parcel with the tracking number `external_id`."""

    external_id: str
    at: datetime
    status: str
    place: str | None = None
    region: str | None = None


async def tracking_of(shipment_ids: Iterable[int]) -> dict[int, list[TrackingEvent]]:
    """What the carrier said of shipments, each one's in the order of time: one statement."""
    return await reads(TrackingEvent).by("shipment_id", shipment_ids, "at, id")


async def add_tracking_events(viewer: Viewer, rows: Sequence[Scan]) -> list[RowResult]:
    """Add what carriers say, by tracking number, time and status; scope orders. DELIVERED is a delivery."""
    viewer.require_scope("orders")
    return await repeated(_track, viewer, rows)


@unit_of_work
async def _track(work: Work, viewer: Viewer, rows: Sequence[Scan]) -> list[RowResult]:
    results = results_of(rows, lambda row: (row.external_id, row.at, row.status))
    numbers = [row.external_id for row in rows]
    named = await work.fetch(f"SELECT DISTINCT order_id FROM shipment WHERE {any_of('tracking_number', 1, 'text')}", numbers)
    orders = {order.id: order for order in await locked(work, any_of("id", 1), [order_id for (order_id,) in named])}
    by_number: dict[str, list[Track]] = {}
    tracks = await _tracks(work, list(orders))
    for track in tracks:
        by_number.setdefault(track.shipment.tracking_number, []).append(track)
    for row, result in sorted(pending(rows, results), key=lambda pair: pair[0].at):
        try:
            require_scan(row, viewer.now)
            if row.external_id not in by_number:
                raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="trackingNumber")
            if new := [track for track in by_number[row.external_id] if track.is_news(row)]:
                result.status = RowStatus.CREATED
                for track in new:
                    track.take(row)
        except Refusal as refusal:
            result.refuse(refusal)
    await _write_tracks(work, viewer, orders, tracks)
    return results


@dataclass(slots=True)
class Track:
    """A shipment with where it was said to be, by moment and status: place and country. `added` is new in this call."""

    shipment: Any
    known: dict[tuple[datetime, str], tuple[str | None, str | None]]
    delivered_at: datetime | None
    added: list[Scan] = field(default_factory=list)

    def is_news(self, row: Scan) -> bool:
        """Whether the carrier says something that is not known yet.

        Raises:
            Refusal: CONFLICT, the parcel would move backwards, or was elsewhere at that moment. BadUserInput: it was
                delivered before it was sent.
        """
        known = self.known.get((row.at, row.status))
        if known is not None:
            if (row.place or known[0], row.region or known[1]) != known:
                raise Refusal(ErrorCode.CONFLICT, field="place")
            return False
        if not may_follow(row.status, row.at, self.delivered_at):
            raise Refusal(ErrorCode.CONFLICT, field="status")
        if row.status == DELIVERED and row.at < self.shipment.shipped_at:
            raise BadUserInput(field="at", text="BEFORE_IT_COULD")
        return True

    def take(self, row: Scan) -> None:
        self.known[(row.at, row.status)] = (row.place, row.region)
        self.added.append(row)
        if row.status == DELIVERED:
            self.delivered_at = row.at

    def strayed_from(self, region: str) -> bool:
        """Whether it was delivered in another country than `region`."""
        return any(status == DELIVERED and where not in (None, region) for (_, status), (_, where) in self.known.items())


def require_scan(row: Scan, now: datetime) -> None:
    """Raises:
    BadUserInput: names the field.
    """
    require_word(row.status, "status", 60)
    if row.place is not None:
        require_word(row.place, "place", 200)
    if row.region is not None and not (len(row.region) == 2 and row.region.isascii() and row.region.isupper()):
        raise BadUserInput(field="region")
    if row.at > now:
        raise BadUserInput(field="at", text="FUTURE")


async def _tracks(work: Work, order_ids: list[int]) -> list[Track]:
    """All shipments of these orders with what is known of them, locked."""
    source = reads(Shipment)
    shipments = source.decode(
        await work.fetch(f"SELECT {source.columns} FROM shipment WHERE {any_of('order_id', 1)} ORDER BY id{for_update()}", order_ids)
    )
    known = await tracking_of([shipment.id for shipment in shipments])
    return [
        Track(shipment, {(e.at, e.status): (e.place, e.region) for e in known.get(shipment.id, [])}, shipment.delivered_at)
        for shipment in shipments
    ]


async def _write_tracks(work: Work, viewer: Viewer, orders: dict[int, Any], tracks: list[Track]) -> None:
    changed = [track for track in tracks if track.added]
    if not changed:
        return
    await insert_rows(
        work.connection,
        "tracking_event",
        "shipment_id, at, status, place, region",
        "bigint timestamptz text text text",
        [(track.shipment.id, row.at, row.status, row.place, row.region) for track in changed for row in track.added],
    )
    arrived = [track for track in changed if track.delivered_at != track.shipment.delivered_at]
    await work.execute_each(
        "UPDATE shipment SET delivered_at = $2 WHERE id = $1", [(track.shipment.id, track.delivered_at) for track in arrived]
    )
    asked = await asking(work, list(orders)) if arrived else set()
    changes = []
    for order_id in dict.fromkeys(track.shipment.order_id for track in changed):
        order, own = orders[order_id], [track for track in tracks if track.shipment.order_id == order_id]
        facts = _after_scans(order, own, viewer.now)
        changes.append(Change(order, facts, order_id in asked, order_id in asked))
        verb = "order_delivered" if facts.delivered_at != order.delivered_at else "tracking_added"
        tell(work, viewer, order, verb, viewer.now)
    await save(work, changes, viewer.now)


def _after_scans(order: Any, tracks: list[Track], now: datetime) -> Facts:
    """The order's facts once its parcels are where they are: delivered when the last of them is."""
    facts = facts_of(order)
    arrivals = [track.delivered_at for track in tracks if track.delivered_at is not None]
    if order.delivered_at is not None or len(arrivals) < len(tracks) or status(facts, now) in OVER:
        return facts
    strayed = any(track.strayed_from(order.region) for track in tracks)
    return after_delivery(facts, max(arrivals), now, right_region=not strayed)
