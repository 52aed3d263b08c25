"""Passkeys (WebAuthn): challenges that are answered once, what a browser is asked, and what a device has signed."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    encode_cbor,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from auth.origins import origin_allowed
from auth.sessions import new_token, token_hash
from models.database import fetch
from models.instants import utc_now
from models.passkeys import CHALLENGE_LASTS, LONGEST_CREDENTIAL_ID, subject_of_credential
from models.refusals import BadUserInput, InvalidCredentials
from models.unit_of_work import Work, unit_of_work
from settings import Settings

ALGORITHMS = [COSEAlgorithmIdentifier.ECDSA_SHA_256, COSEAlgorithmIdentifier.EDDSA, COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256]
_MILLISECONDS = int(CHALLENGE_LASTS.total_seconds() * 1000)
_NOBODYS_KEY = bytes_to_base64url(
    encode_cbor(  # P-256's base point: whatever is signed does not fit, and finding that out takes as long as with a key
        {
            1: 2,
            3: -7,
            -1: 1,
            -2: bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
            -3: bytes.fromhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
        }
    )
)


class Challenge(NamedTuple):
    """32 random bytes in base64url, which are their own id, and until when they may be answered."""

    id: str
    ends_at: datetime


class Holder(NamedTuple):
    """Whom a passkey is for, as the device is told: `handle` is opaque, `name` tells accounts apart on its screen."""

    handle: str
    name: str
    display_name: str


class KnownCredential(NamedTuple):
    """A passkey that the account has, so that its device makes no second one."""

    id: str
    transports: str


class MadePasskey(NamedTuple):
    """A new passkey, whose device has signed our challenge."""

    credential_id: str
    subject: str
    public_key: str
    sign_count: int
    transports: str
    backed_up: bool


class Assertion(NamedTuple):
    """A passkey's signature over our challenge, which is right; whether the device's count goes on is still to be seen."""

    identity_id: int
    account_id: int
    sign_count: int
    backed_up: bool


@unit_of_work
async def open_challenge(work: Work, account_id: int | None) -> Challenge:
    """A challenge for the account to add a passkey, or for anybody to sign in."""
    challenge = Challenge(new_token(), utc_now() + CHALLENGE_LASTS)
    await work.execute(
        "INSERT INTO passkey_challenge (challenge_hash, account_id, ends_at) VALUES ($1, $2, $3)",
        token_hash(challenge.id),
        account_id,
        challenge.ends_at,
    )
    return challenge


@unit_of_work(single=True)
async def spend_challenge(work: Work, challenge_id: str, account_id: int | None) -> bool:
    """Use the challenge up, before its answer is looked at; False for an old, used or another's one."""
    return bool(
        await work.fetch(
            "DELETE FROM passkey_challenge WHERE challenge_hash = $1 AND coalesce(account_id, 0) = $2 AND ends_at > $3 RETURNING 1",
            token_hash(challenge_id),
            account_id or 0,
            utc_now(),
        )
    )


def creation_options(settings: Settings, challenge: Challenge, holder: Holder, known: Sequence[KnownCredential]) -> str:
    """JSON for PublicKeyCredential.parseCreationOptionsFromJSON: a passkey that the device finds without a name, and
    unlocks for its owner alone."""
    options = generate_registration_options(
        rp_id=settings.passkey_domain,
        rp_name=settings.passkey_domain,
        user_id=base64url_to_bytes(holder.handle),
        user_name=holder.name,
        user_display_name=holder.display_name,
        challenge=base64url_to_bytes(challenge.id),
        timeout=_MILLISECONDS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(
                id=base64url_to_bytes(credential.id), transports=[AuthenticatorTransport(name) for name in credential.transports.split(",") if name]
            )
            for credential in known
        ],
        supported_pub_key_algs=ALGORITHMS,
    )
    return options_to_json(options)


def request_options(settings: Settings, challenge: Challenge) -> str:
    """JSON for PublicKeyCredential.parseRequestOptionsFromJSON. It names no passkey: nobody learns who has one."""
    options = generate_authentication_options(
        rp_id=settings.passkey_domain,
        challenge=base64url_to_bytes(challenge.id),
        timeout=_MILLISECONDS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


def check_creation(settings: Settings, challenge_id: str, credential: str) -> MadePasskey:
    """The passkey that the JSON of PublicKeyCredential.toJSON() brings. Where its device comes from is not asked.

    Raises:
        BadUserInput: not made for this challenge, this service or by its owner's own hand.
    """
    try:
        given = parse_registration_credential_json(credential)
        made = verify_registration_response(
            credential=given,
            expected_challenge=base64url_to_bytes(challenge_id),
            expected_rp_id=settings.passkey_domain,
            expected_origin=_own_origin(settings, given.response.client_data_json),
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
        if len(made.credential_id) > LONGEST_CREDENTIAL_ID:
            raise ValueError("an id longer than the standard allows")
        return MadePasskey(
            credential_id=bytes_to_base64url(made.credential_id),
            subject=subject_of_credential(made.credential_id),
            public_key=bytes_to_base64url(made.credential_public_key),
            sign_count=made.sign_count,
            transports=",".join(sorted({transport.value for transport in given.response.transports or ()})),
            backed_up=made.credential_backed_up,
        )
    except Exception:  # the bytes are a stranger's, and the library raises of anything that they stumble over
        raise BadUserInput(field="credential", text="PASSKEY_REFUSED") from None


async def check_assertion(settings: Settings, challenge_id: str, credential: str) -> Assertion:
    """Whose passkey has answered a challenge for signing in; the challenge is used up, whatever the answer is worth.

    Raises:
        InvalidCredentials: anything that does not fit. The same, after the same work, whether or not the passkey is known.
    """
    is_open = await spend_challenge(challenge_id, None)
    try:
        given = parse_authentication_credential_json(credential)
    except Exception:
        raise refused() from None
    found = await fetch(
        "SELECT k.identity_id, i.account_id, k.public_key, h.handle FROM identity i JOIN passkey k ON k.identity_id = i.id "
        "JOIN passkey_holder h ON h.account_id = i.account_id WHERE i.kind = 'PASSKEY' AND i.subject = $1",
        subject_of_credential(given.raw_id),
    )
    identity_id, account_id, public_key, handle = found[0] if found else (0, 0, _NOBODYS_KEY, "")
    try:
        verified = verify_authentication_response(
            credential=given,
            expected_challenge=base64url_to_bytes(challenge_id),
            expected_rp_id=settings.passkey_domain,
            expected_origin=_own_origin(settings, given.response.client_data_json),
            credential_public_key=base64url_to_bytes(public_key),
            credential_current_sign_count=0,  # compared where it is written, and only once the signature is known to be right
            require_user_verification=True,
        )
    except Exception:
        raise refused() from None
    if not is_open or not found or bytes_to_base64url(given.response.user_handle or b"") != handle:
        raise refused()
    return Assertion(identity_id, account_id, verified.new_sign_count, verified.credential_backed_up)


def refused() -> InvalidCredentials:
    """What every answer that does not count is told."""
    return InvalidCredentials(field="credential", text="PASSKEY_REFUSED")


def _own_origin(settings: Settings, client_data: bytes) -> str:
    """The origin of the page that asked the device.

    Raises:
        ValueError: it is not one of ours, or stood in another site's frame.
    """
    told = parse_client_data_json(client_data)
    if told.cross_origin or not origin_allowed(told.origin, "", settings):
        raise ValueError("a page that is not ours")
    return told.origin
