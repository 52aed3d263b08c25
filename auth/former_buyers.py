"""Former buyers: what tells that the platform's id was an erased account's, and nothing else."""

import hmac
from collections.abc import Iterable

from auth.keys import key_for
from models.database import any_of, fetch, opened


async def external_id_hashes(external_ids: Iterable[str]) -> dict[str, str]:
    """What is kept of each of these ids of the platform's once its account is erased."""
    key = await key_for("erased accounts", opened().settings)
    return {external_id: hmac.digest(key, external_id.encode("utf-8", "surrogatepass"), "sha256").hex() for external_id in external_ids}


async def erased_among(hashes: dict[str, str]) -> set[str]:
    """Which of these ids, with their hashes, were those of accounts that have been erased."""
    if not hashes:
        return set()
    found = await fetch(f"SELECT external_id_hash FROM erasure WHERE {any_of('external_id_hash', 1, 'text')}", list(hashes.values()))
    erased = {hashed for (hashed,) in found}
    return {external_id for external_id, hashed in hashes.items() if hashed in erased}
