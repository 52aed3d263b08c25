// The pages behind the links in mails and the sign-ins by providers: nothing happens before the button is pressed, since mail
// scanners follow links.
const page = document.querySelector("main");
const form = page.querySelector("form");
const told = page.querySelector("[role=status]");
const token = new URLSearchParams(location.search).get("token") ?? "";

const waiting = new URLSearchParams(location.hash.slice(1));

const operations = {
  answerSecondFactor: {
    query: "mutation($input: AnswerSecondFactorInput!) { answerSecondFactor(input: $input) { __typename ... on Refusal { message } } }",
    variables: (fields) => ({ input: { challengeId: waiting.get("challenge") ?? "", code: fields.get("code") } }),
    next: () => ownPath(waiting.get("returnTo")),
  },
  activate: {
    query: `mutation($token: String!, $password: String, $passwordAgain: String) {
      activate(token: $token, password: $password, passwordAgain: $passwordAgain) { __typename ... on Refusal { code message } } }`,
    variables: (fields) => ({ token, password: fields.get("password"), passwordAgain: fields.get("passwordAgain") }),
  },
  confirmEmailChange: {
    query: "mutation($input: ConfirmEmailChangeInput!) { confirmEmailChange(input: $input) { __typename ... on Refusal { code message } } }",
    variables: () => ({ input: { token } }),
  },
  resetPassword: {
    query: "mutation($input: ResetPasswordInput!) { resetPassword(input: $input) { __typename ... on Refusal { code message } } }",
    variables: (fields) => ({ input: { token, password: fields.get("password"), passwordAgain: fields.get("passwordAgain") } }),
  },
};

// Behind our own origin every text that begins with a slash is a path of this site, "//elsewhere" too.
function ownPath(given) {
  return location.origin + (given?.startsWith("/") ? given : "/");
}

async function run(name) {
  const { query, variables } = operations[name];
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables: variables(new FormData(form)) }),
  });
  const answer = await response.json();
  return { message: answer.errors?.[0]?.message, ...answer.data?.[name] };
}

form.addEventListener("submit", async (event) => {
  const button = form.querySelector("button");
  if (page.dataset.operation === undefined) {
    setTimeout(() => (button.disabled = true)); // the browser sends the form; a second tap would find the link used
    return;
  }
  event.preventDefault();
  button.disabled = true;
  told.textContent = "";
  try {
    const { code, message } = await run(page.dataset.operation);
    if (code === "PASSWORD_NEEDED") {
      const later = form.querySelector("fieldset");
      later.hidden = later.disabled = false;
      later.querySelector("input").focus();
    }
    told.textContent = message ?? page.dataset.done;
    if (message === undefined) {
      form.remove();
      page.querySelector("[hidden]").hidden = false;
      history.replaceState(null, "", location.pathname); // the used token need not stay in the address
      const { next } = operations[page.dataset.operation];
      if (next) location.replace(next());
    }
  } catch {
    told.textContent = page.dataset.failed;
  } finally {
    button.disabled = false;
  }
});
