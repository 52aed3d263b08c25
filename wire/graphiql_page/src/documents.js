// What a front end sends to sign somebody in. The panel sends these, and opens each as a tab with what it would send.
export const WHO = "query Who { me { displayName email phone } }";

export const POLICY = `query Policy($region: String!) {
  signInPolicy(region: $region) { ways { kind signUp signIn } }
}
`;

export const CAPTCHA = "query Captcha { captchaChallenge }";

export const SIGN_UP = `mutation SignUp($input: SignUpInput!) {
  signUp(input: $input) {
    __typename
    ... on SignUpClosed { openWays }
    ... on PasswordTooWeak { reason }
    ... on Refusal { code message field }
  }
}
`;

export const SIGN_IN = `mutation SignIn($input: SignInInput!) {
  signIn(input: $input) {
    __typename
    ... on SignedIn { account { id displayName email } }
    ... on SecondFactorRequired { challengeId expiresAt }
    ... on RateLimited { retryAfterSeconds }
    ... on Refusal { code message field }
  }
}
`;

export const REQUEST_CODE = `mutation RequestPhoneCode($input: RequestPhoneCodeInput!) {
  requestPhoneCode(input: $input) {
    __typename
    ... on PhoneCodeRequested { challengeId resendAfterSeconds }
    ... on RateLimited { retryAfterSeconds }
    ... on Refusal { code message field }
  }
}
`;

export const VERIFY_CODE = `mutation VerifyPhoneCode($input: VerifyPhoneCodeInput!) {
  verifyPhoneCode(input: $input) {
    __typename
    ... on SignedIn { account { id displayName phone } }
    ... on SecondFactorRequired { challengeId expiresAt }
    ... on Refusal { code message field }
  }
}
`;

export const ANSWER_FACTOR = `mutation AnswerSecondFactor($input: AnswerSecondFactorInput!) {
  answerSecondFactor(input: $input) {
    __typename
    ... on SignedIn { account { id displayName } }
    ... on RateLimited { retryAfterSeconds }
    ... on Refusal { code message field }
  }
}
`;

export const SIGN_OUT = "mutation SignOut { signOut { ... on SignedOut { at } } }";
