import { useEffect, useState } from "react";

import { closeSockets, post } from "./fetcher.js";

const WHO = "query Who { me { displayName email } }";
const SIGN_IN = `mutation SignIn($input: SignInInput!) {
  signIn(input: $input) { ... on SignedIn { account { displayName email } } ... on Refusal { message } }
}`;
const SIGN_OUT = "mutation SignOut { signOut { ... on SignedOut { at } } }";

// A bar above GraphiQL that signs the browser in as one of the demo buyers; the session is the server's cookie.
export function Buyers({ buyers }) {
  const [account, setAccount] = useState(null);
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(true);

  async function ask(query, variables, accountIn) {
    setBusy(true);
    try {
      const { data, errors } = await post({ query, variables });
      const [found, refusal] = accountIn(data ?? {});
      setAccount(found ?? null);
      setTrouble(refusal ?? (variables && errors?.[0].message) ?? "");
    } catch (error) {
      setTrouble(`The service does not answer (${error.message}).`);
    }
    closeSockets();
    setBusy(false);
  }
  const signIn = ({ email, password }) =>
    ask(SIGN_IN, { input: { email, password } }, ({ signIn: answer }) => [answer?.account, answer?.message]);
  const signOut = () => ask(SIGN_OUT, {}, () => []);
  useEffect(() => void ask(WHO, undefined, ({ me }) => [me]), []);

  return (
    <header className="buyers" aria-busy={busy}>
      <strong>Kabinet</strong>
      <span role="group" aria-label="Sign in as">
        {buyers.map((buyer) => (
          <button
            key={buyer.email}
            type="button"
            title={`Sign in as ${buyer.email}`}
            aria-pressed={buyer.email === account?.email}
            disabled={busy}
            onClick={() => signIn(buyer)}
          >
            {buyer.displayName}
          </button>
        ))}
        <button type="button" disabled={busy || !account} onClick={signOut}>
          Sign out
        </button>
      </span>
      <output>{account ? `Signed in as ${account.displayName} (${account.email})` : "Not signed in"}</output>
      {trouble && <em role="alert">{trouble}</em>}
    </header>
  );
}
