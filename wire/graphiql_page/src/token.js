// GraphiQL keeps tabs with their headers in the browser; a demo world that was filled anew has another staff token.
const KNOWN = "kabinet:staffToken";

export function renewStaffToken(token) {
  const former = localStorage.getItem(KNOWN);
  if (former && former !== token) {
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith("graphiql:")) localStorage.setItem(key, localStorage.getItem(key).replaceAll(former, token));
    }
  }
  localStorage.setItem(KNOWN, token);
}
