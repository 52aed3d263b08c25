"""Passkeys in the graph: adding and naming them, signing in and proving by one."""

from typing import Annotated, Any

import strawberry

from auth.policy import policy_of
from models.sessions import Stay
from resolvers import passkeys
from resolvers.entry import Entry
from schema.context import Context
from schema.edges import mutation
from schema.errors import (
    BadUserInput,
    CodeInvalid,
    IdentityTaken,
    InvalidCredentials,
    NotFound,
    ReauthRequired,
    SignUpClosed,
    Unavailable,
    answered,
)
from schema.node import own_id
from schema.scalars import Instant
from schema.sessions import Reauthenticated
from schema.sign_in import REMEMBER, SignedIn, SignedInApp, Transport, admitted
from schema.sign_in_methods import MethodId, ShownMethod, SignInMethod

CHALLENGE = "For the answer of the device, once. Told once."
CREDENTIAL = "JSON of what the browser answered, by PublicKeyCredential.toJSON()."
ENDS = "Until when the device may answer, exclusive."


@strawberry.type(description="What a device is asked for a new passkey.")
class PasskeyCreation:
    challenge_id: str = strawberry.field(description=CHALLENGE)
    options: str = strawberry.field(description="JSON for PublicKeyCredential.parseCreationOptionsFromJSON and navigator.credentials.create.")
    expires_at: Instant = strawberry.field(description=ENDS)


@strawberry.type(description="What a device is asked for signing in: any passkey of this service that it has.")
class PasskeyRequest:
    challenge_id: str = strawberry.field(description=CHALLENGE)
    options: str = strawberry.field(description="JSON for PublicKeyCredential.parseRequestOptionsFromJSON and navigator.credentials.get.")
    expires_at: Instant = strawberry.field(description=ENDS)


@strawberry.type(description="The buyer can sign in by the passkey, and is told of it.")
class PasskeyAdded:
    method: SignInMethod = strawberry.field(description="The new way of signing in.")


@strawberry.type(description="The passkey has its new name.")
class PasskeyRenamed:
    method: SignInMethod = strawberry.field(description="The way of signing in that it is.")


BeginPasskeyResult = Annotated[
    PasskeyCreation | ReauthRequired | SignUpClosed | Unavailable,
    strawberry.union("BeginPasskeyResult", description="What beginPasskey answers."),
]
AddPasskeyResult = Annotated[
    PasskeyAdded | CodeInvalid | BadUserInput | IdentityTaken | Unavailable | ReauthRequired | SignUpClosed,
    strawberry.union("AddPasskeyResult", description="What addPasskey answers."),
]
RenamePasskeyResult = Annotated[
    PasskeyRenamed | NotFound | BadUserInput, strawberry.union("RenamePasskeyResult", description="What renamePasskey answers.")
]
BeginPasskeySignInResult = Annotated[
    PasskeyRequest, strawberry.union("BeginPasskeySignInResult", description="What beginPasskeySignIn answers.")
]
SignInByPasskeyResult = Annotated[
    SignedIn | SignedInApp | InvalidCredentials, strawberry.union("SignInByPasskeyResult", description="What signInByPasskey answers.")
]
ReauthenticateByPasskeyResult = Annotated[
    Reauthenticated | InvalidCredentials,
    strawberry.union("ReauthenticateByPasskeyResult", description="What reauthenticateByPasskey answers."),
]


@strawberry.input(description="A passkey that a device has made.")
class AddPasskeyInput:
    challenge_id: str = strawberry.field(description="Of beginPasskey.")
    credential: str = strawberry.field(description=CREDENTIAL)
    name: str = strawberry.field(description="As the buyer will know it again; 1 to 100 characters.")


@strawberry.input(description="A passkey's answer, for signing in.")
class SignInByPasskeyInput:
    challenge_id: str = strawberry.field(description="Of beginPasskeySignIn.")
    credential: str = strawberry.field(description=CREDENTIAL)
    transport: Transport = strawberry.field(default=Transport.BROWSER, description="What is to carry the session.")
    remember: bool = strawberry.field(default=True, description=REMEMBER)


@strawberry.input(description="A passkey's answer, as the proof of who asks.")
class ReauthenticateByPasskeyInput:
    challenge_id: str = strawberry.field(description="Of beginPasskeySignIn.")
    credential: str = strawberry.field(description=CREDENTIAL)


async def _add(context: Context, input: AddPasskeyInput) -> ShownMethod:
    added = await passkeys.add_passkey(context.viewer, context.settings, input.challenge_id, input.credential, input.name)
    return ShownMethod(context.viewer.account, *added, context)


async def _rename(context: Context, id: str, name: str) -> ShownMethod:
    method_id = own_id(context, id, "SignInMethod")
    renamed = await passkeys.rename_passkey(context.viewer, policy_of(context.settings), method_id, name)
    return ShownMethod(context.viewer.account, *renamed, context)


async def _sign_in(context: Context, input: SignInByPasskeyInput) -> Entry:
    stay = Stay(input.transport, input.remember)
    return await passkeys.sign_in_by_passkey(context.viewer, context.settings, input.challenge_id, input.credential, stay)


def _asked(kind: type[Any]) -> Any:
    def told(begun: Any) -> Any:
        challenge, options = begun
        return kind(challenge_id=challenge.id, options=options, expires_at=Instant(challenge.ends_at))

    return told


@strawberry.type
class PasskeysMutation:
    @mutation(description="Begin to add a passkey, on a page of this service. Asks for a recent proof; 20 passkeys at most.")
    async def begin_passkey(context: Context) -> BeginPasskeyResult:
        return await answered(context, passkeys.begin_passkey(context.viewer, context.settings), _asked(PasskeyCreation))

    @mutation(description="Add the passkey that the device has made. Whatever CODE_INVALID or a refused credential is told of is begun anew.")
    async def add_passkey(context: Context, input: AddPasskeyInput) -> AddPasskeyResult:
        return await answered(context, _add(context, input), lambda method: PasskeyAdded(method=method))

    @mutation(description="Call a passkey otherwise.")
    async def rename_passkey(
        context: Context,
        id: MethodId,
        name: Annotated[str, strawberry.argument(description="1 to 100 characters.")],
    ) -> RenamePasskeyResult:
        return await answered(context, _rename(context, id, name), lambda method: PasskeyRenamed(method=method))

    @mutation(description="Begin to sign in by a passkey, or to prove by one who asks. The same for everybody: it names no account.")
    async def begin_passkey_sign_in(context: Context) -> BeginPasskeySignInResult:
        return _asked(PasskeyRequest)(await passkeys.begin_passkey_sign_in(context.viewer, context.settings))

    @mutation(description="Sign in by a passkey. The device has asked for a finger or a code: no second factor is asked for besides.")
    async def sign_in_by_passkey(context: Context, input: SignInByPasskeyInput) -> SignInByPasskeyResult:
        return await answered(context, _sign_in(context, input), lambda entry: admitted(context, entry))

    @mutation(description="Prove again by one of one's own passkeys who one is, as reauthenticate does by the password.")
    async def reauthenticate_by_passkey(context: Context, input: ReauthenticateByPasskeyInput) -> ReauthenticateByPasskeyResult:
        work = passkeys.reauthenticate_by_passkey(context.viewer, context.settings, input.challenge_id, input.credential)
        return await answered(context, work, lambda until: Reauthenticated(until=Instant(until)))
