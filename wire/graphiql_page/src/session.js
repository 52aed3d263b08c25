import { useEffect, useState } from "react";

import { WHO } from "./documents.js";
import { afterMutation, closeSockets, post } from "./fetcher.js";

// Who is signed in, the challenge of a sign-in that waits for its second factor, and `run(document, variables)`, which gives what
// its field answers, null where it was refused.
export function useSession() {
  const [account, setAccount] = useState(null);
  const [trouble, setTrouble] = useState(broughtBack);
  const [challengeId, setChallengeId] = useState(null);
  const [busy, setBusy] = useState(true);

  async function look() {
    const { data } = await post({ query: WHO });
    setAccount(data?.me ?? null);
  }

  async function run(query, variables) {
    setBusy(true);
    setTrouble("");
    try {
      const { data, errors } = await post({ query, variables: await variables });
      const answer = Object.values(data ?? {})[0] ?? null;
      const refusal = answer?.message ?? errors?.[0].message;
      if (refusal) setTrouble(refusal);
      else closeSockets();
      if (answer?.__typename === "SecondFactorRequired") setChallengeId(answer.challengeId);
      else if (!refusal || answer?.code === "CODE_ATTEMPTS_EXCEEDED") setChallengeId(null);
      await look();
      return refusal ? null : answer;
    } catch (error) {
      setTrouble(`That did not work (${error.message}).`);
      return null;
    } finally {
      setBusy(false);
    }
  }

  useEffect(() => {
    const again = () => void look().catch(() => {}); // a service that is away says so where something is asked of it
    look()
      .catch((error) => setTrouble(`The service does not answer (${error.message}).`))
      .finally(() => setBusy(false));
    window.addEventListener("focus", again); // a mail's link signs in from another tab
    afterMutation(again);
    return () => window.removeEventListener("focus", again);
  }, []);
  return { account, challengeId, trouble, busy, run };
}

// A provider's refusal comes back in the address.
function broughtBack() {
  const address = new URL(location.href);
  const code = address.searchParams.get("error");
  if (!code) return "";
  address.searchParams.delete("error");
  history.replaceState(null, "", address);
  return /^[A-Z_]+$/.test(code) ? `The provider's sign-in came back with ${code}.` : "";
}
