// What the server tells the page in demo mode: { buyers: [{ email, password, displayName }], staffToken }; else null.
export const demo = JSON.parse(document.getElementById("demo").textContent);
