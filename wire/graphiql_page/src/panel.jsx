import { useEffect, useState } from "react";

import { solvedCaptcha } from "./captcha.js";
import { ANSWER_FACTOR, POLICY, REQUEST_CODE, SIGN_IN, SIGN_UP, VERIFY_CODE } from "./documents.js";
import { openTab } from "./editor.jsx";
import { post } from "./fetcher.js";

const COUNTRIES = { CZ: "CZK", RU: "RUB", US: "USD" };
const PROVIDERS = { VK: "VK ID", OK: "Odnoklassniki", MAILRU: "Mail.ru", GOOGLE: "Google" };
const TERMS = "2026-01";

// Every way in, drawn from what signInPolicy says is open in a country, by the documents that any front end sends.
export function SignInPanel({ busy, run }) {
  const [region, setRegion] = useState("CZ");
  const [ways, setWays] = useState(null);
  useEffect(() => {
    let current = true;
    post({ query: POLICY, variables: { region } })
      .then(({ data }) => current && setWays(data.signInPolicy.ways))
      .catch(() => current && setWays(null));
    return () => void (current = false);
  }, [region]);
  const opens = (kind, what) => ways?.some((way) => way.kind === kind && way[what]);
  const place = { region, currency: COUNTRIES[region] };

  return (
    <section className="ways" aria-label="Ways of signing in">
      <label>
        Country
        <select value={region} onChange={(event) => setRegion(event.target.value)}>
          {Object.keys(COUNTRIES).map((code) => (
            <option key={code}>{code}</option>
          ))}
        </select>
      </label>
      {opens("EMAIL", "signUp") && <SignUp busy={busy} run={run} place={place} />}
      {ways && !opens("EMAIL", "signUp") && <p>Nobody signs up by e-mail in this country.</p>}
      {opens("EMAIL", "signIn") && <Password busy={busy} run={run} />}
      {opens("PHONE", "signUp") && <Phone busy={busy} run={run} place={place} />}
      <nav aria-label="Providers">
        {Object.keys(PROVIDERS)
          .filter((kind) => opens(kind, "signIn"))
          .map((kind) => (
            <a key={kind} href={`/auth/${kind.toLowerCase()}/login?returnTo=/graphql&region=${region}`}>
              {PROVIDERS[kind]}
            </a>
          ))}
      </nav>
    </section>
  );
}

function SignUp({ busy, run, place }) {
  const [posted, setPosted] = useState("");
  const variables = async (fields) => ({
    input: { ...fields, ...place, language: "en", termsVersion: TERMS, captcha: await solvedCaptcha() },
  });
  const send = async (fields) => setPosted((await run(SIGN_UP, variables(fields))) ? fields.email : "");
  return (
    <Form title="Sign up by e-mail" button="Sign up" busy={busy} document={SIGN_UP} variables={variables} onSend={send}>
      <input name="email" type="email" placeholder="E-mail" aria-label="E-mail" required />
      <input name="displayName" placeholder="Name" aria-label="Name" required />
      <input name="password" type="password" placeholder="Password" aria-label="Password" autoComplete="new-password" required />
      <input name="passwordAgain" type="password" placeholder="Once more" aria-label="Once more" autoComplete="new-password" required />
      <label>
        <input type="checkbox" required /> I agree to the terms ({TERMS})
      </label>
      {posted && (
        <p>
          A mail is on its way. <a href={mailbox(posted)}>Open the mailbox</a>
        </p>
      )}
    </Form>
  );
}

function Password({ busy, run }) {
  const variables = ({ login, password }) => ({
    input: login.includes("@") ? { email: login, password } : { email: "", phone: login, password },
  });
  return (
    <Form title="By password" button="Sign in" busy={busy} document={SIGN_IN} variables={variables} onSend={(fields) => run(SIGN_IN, variables(fields))}>
      <input name="login" placeholder="E-mail or phone" aria-label="E-mail or phone" autoComplete="username" required />
      <input name="password" type="password" placeholder="Password" aria-label="Password" autoComplete="current-password" required />
    </Form>
  );
}

function Phone({ busy, run, place }) {
  const [asked, setAsked] = useState(null);
  const forCode = ({ phone }) => ({ input: { phone, purpose: "SIGN_UP" } });
  const request = async (fields) => {
    const answer = await run(REQUEST_CODE, forCode(fields));
    if (answer) setAsked({ challengeId: answer.challengeId, phone: fields.phone });
  };
  if (!asked) {
    return (
      <Form title="By phone" button="Send a code" busy={busy} document={REQUEST_CODE} variables={forCode} onSend={request}>
        <input name="phone" type="tel" placeholder="+7 916 555-00-11" aria-label="Phone" required />
      </Form>
    );
  }
  const forEntry = (fields) => ({ input: { challengeId: asked.challengeId, ...fields, ...place, language: "en" } });
  const enter = async (fields) => (await run(VERIFY_CODE, forEntry(fields))) && setAsked(null);
  return (
    <Form title={`By phone: ${asked.phone}`} button="Sign in or up" busy={busy} document={VERIFY_CODE} variables={forEntry} onSend={enter}>
      <input name="code" inputMode="numeric" placeholder="Code" aria-label="Code" autoComplete="one-time-code" required />
      <input name="displayName" placeholder="Name, if new here" aria-label="Name" />
      <p>
        <a href="/dev/mailbox" target="_blank" rel="noopener">
          Read the code in the mailbox
        </a>{" "}
        <button type="button" onClick={() => setAsked(null)}>
          Another number
        </button>
      </p>
    </Form>
  );
}

// Where the account has a second factor, whichever way the sign-in has begun.
export function SecondFactor({ busy, run, challengeId }) {
  const variables = (fields) => ({ input: { challengeId, ...fields } });
  return (
    <section className="ways" aria-label="Second factor">
      <Form title="Second factor" button="Answer" busy={busy} document={ANSWER_FACTOR} variables={variables} onSend={(fields) => run(ANSWER_FACTOR, variables(fields))}>
        <input name="code" placeholder="Code, or a recovery code" aria-label="Code" autoComplete="one-time-code" autoFocus required />
      </Form>
    </section>
  );
}

// `variables` makes of the form's fields what the document is sent with; the second button shows both in a tab instead.
function Form({ title, button, busy, document, variables, onSend, children }) {
  async function submit(event) {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.currentTarget));
    if (event.nativeEvent.submitter?.value === "tab") openTab(document, await variables(fields));
    else await onSend(fields);
  }
  return (
    <form aria-label={title} onSubmit={submit}>
      <strong>{title}</strong>
      {children}
      <span>
        <button disabled={busy}>{button}</button>
        <button value="tab" title="Open the document with these variables in a tab" disabled={busy}>
          As a document
        </button>
      </span>
    </form>
  );
}

function mailbox(address) {
  return `/dev/mailbox?to=${encodeURIComponent(address)}`;
}
