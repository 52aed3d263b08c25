"""The operations that the machine asks for."""

REFUSAL = "__typename ... on Refusal { code }"
IN = """... on SignedIn { token account { id } } ... on SignedInApp { accessToken refreshToken account { id } }
  ... on SecondFactorRequired { challengeId }"""
SIGN_UP = f"mutation($input: SignUpInput!) {{ signUp(input: $input) {{ {REFUSAL} ... on SignUpAccepted {{ proof }} }} }}"
ACTIVATE = f"""mutation($token: String!, $proof: String, $password: String, $again: String) {{
  activate(token: $token, proof: $proof, password: $password, passwordAgain: $again) {{ {REFUSAL} ... on Activated {{ token account {{ id }} }} }} }}"""
SIGN_IN = f"mutation($input: SignInInput!) {{ signIn(input: $input) {{ {REFUSAL} {IN} }} }}"
REFRESH = f"""mutation($token: String!) {{ refreshSession(input: {{ refreshToken: $token }}) {{ {REFUSAL}
  ... on SignedInApp {{ accessToken refreshToken account {{ id }} }} }} }}"""
REQUEST_CODE = f"""mutation($input: RequestPhoneCodeInput!) {{ requestPhoneCode(input: $input) {{ {REFUSAL}
  ... on PhoneCodeRequested {{ challengeId }} }} }}"""
VERIFY_CODE = f"""mutation($input: VerifyPhoneCodeInput!) {{ verifyPhoneCode(input: $input) {{ {REFUSAL} {IN}
  ... on PhoneLinked {{ account {{ id }} newToken }} }} }}"""
UNLINK = f"mutation($id: ID!) {{ unlinkSignInMethod(id: $id) {{ {REFUSAL} }} }}"
CHANGE = f"mutation($input: ChangePasswordInput!) {{ changePassword(input: $input) {{ {REFUSAL} ... on PasswordChanged {{ newToken }} }} }}"
REQUEST_RESET = f"mutation($input: RequestPasswordResetInput!) {{ requestPasswordReset(input: $input) {{ {REFUSAL} }} }}"
RESET = f"mutation($input: ResetPasswordInput!) {{ resetPassword(input: $input) {{ {REFUSAL} }} }}"
REQUEST_EMAIL = f"mutation($email: String!) {{ requestEmailChange(input: {{ email: $email }}) {{ {REFUSAL} }} }}"
CONFIRM_EMAIL = f"""mutation($token: String!) {{ confirmEmailChange(input: {{ token: $token }}) {{ {REFUSAL}
  ... on EmailChanged {{ account {{ id email }} newToken }} }} }}"""
CANCEL_EMAIL = f"mutation {{ cancelEmailChange {{ {REFUSAL} }} }}"
REAUTHENTICATE = f"mutation($input: ReauthenticateInput!) {{ reauthenticate(input: $input) {{ {REFUSAL} }} }}"
SIGN_OUT = "mutation { signOut { __typename } }"
ELSEWHERE = "mutation { signOutElsewhere { __typename } }"
REVOKE = f"mutation($id: ID!) {{ revokeSession(id: $id) {{ {REFUSAL} }} }}"

BEGIN_FACTOR = f"mutation {{ beginSecondFactor {{ {REFUSAL} ... on SecondFactorBegun {{ secret }} }} }}"
CONFIRM_FACTOR = f"""mutation($code: String!) {{ confirmSecondFactor(input: {{ code: $code }}) {{ {REFUSAL}
  ... on SecondFactorOn {{ recoveryCodes newToken }} }} }}"""
REMOVE_FACTOR = f"""mutation($code: String!) {{ removeSecondFactor(input: {{ code: $code }}) {{ {REFUSAL}
  ... on SecondFactorRemoved {{ newToken }} }} }}"""
ANSWER_FACTOR = f"mutation($input: AnswerSecondFactorInput!) {{ answerSecondFactor(input: $input) {{ {REFUSAL} {IN.rpartition('...')[0]} }} }}"

SET_STANDING = "mutation($row: StandingRow!) { setStandings(input: { rows: [$row] }) { results { status code } } }"
APPEAL = f"mutation {{ appeal(input: {{ text: \"It was not me.\" }}) {{ {REFUSAL} ... on AppealOpened {{ appeal {{ id }} }} }} }}"
ANSWER_APPEAL = f"mutation {{ answerAppeal(input: {{ text: \"Here you are.\" }}) {{ {REFUSAL} }} }}"
DECIDE_APPEAL = "mutation($row: AppealRow!) { decideAppeals(input: { rows: [$row] }) { results { status code } } }"

DELETE = f"mutation {{ deleteAccount {{ {REFUSAL} }} }}"
KEEP = "mutation { keepAccount { __typename } }"

BEGIN_PASSKEY = f"mutation {{ beginPasskey {{ {REFUSAL} ... on PasskeyCreation {{ challengeId options }} }} }}"
ADD_PASSKEY = f"mutation($input: AddPasskeyInput!) {{ addPasskey(input: $input) {{ {REFUSAL} }} }}"
ASK_PASSKEY = "mutation { beginPasskeySignIn { ... on PasskeyRequest { challengeId options } } }"
ENTER_BY_PASSKEY = f"""mutation($input: SignInByPasskeyInput!) {{ signInByPasskey(input: $input) {{ {REFUSAL}
  ... on SignedIn {{ token account {{ id }} }} }} }}"""
PROVE_BY_PASSKEY = f"mutation($input: ReauthenticateByPasskeyInput!) {{ reauthenticateByPasskey(input: $input) {{ {REFUSAL} }} }}"

ME = """{ me { id pendingEmailChange { email } secondFactor { recoveryCodesLeft } deletion { eraseAt }
  standing { level appeal { state } } sessions { id current }
  signInMethods { lockoutRisk methods { id kind usable } } } }"""
