import { useState } from "react";

import { SIGN_IN, SIGN_OUT } from "./documents.js";
import { SecondFactor, SignInPanel } from "./panel.jsx";
import { useSession } from "./session.js";

// A bar above GraphiQL that signs the browser in, as a demo buyer or in any other way; the session is the server's cookie.
export function Buyers({ buyers }) {
  const { account, challengeId, trouble, busy, run } = useSession();
  const [open, setOpen] = useState(false);

  return (
    <header aria-busy={busy}>
      <div className="buyers">
        <strong>Kabinet</strong>
        <span role="group" aria-label="Sign in as">
          {buyers.map(({ email, password, displayName }) => (
            <button
              key={email}
              type="button"
              title={`Sign in as ${email}`}
              aria-pressed={email === account?.email}
              disabled={busy}
              onClick={() => run(SIGN_IN, { input: { email, password } })}
            >
              {displayName}
            </button>
          ))}
          <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
            Sign in …
          </button>
          <button type="button" disabled={busy || !account} onClick={() => run(SIGN_OUT)}>
            Sign out
          </button>
        </span>
        <output>{account ? `Signed in as ${named(account)}` : "Not signed in"}</output>
        {trouble && <em role="alert">{trouble}</em>}
      </div>
      {challengeId && <SecondFactor key={challengeId} busy={busy} run={run} challengeId={challengeId} />}
      {open && <SignInPanel busy={busy} run={run} />}
    </header>
  );
}

function named({ displayName, email, phone }) {
  const contact = email ?? phone;
  return contact ? `${displayName} (${contact})` : displayName;
}
