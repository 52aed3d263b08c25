import { parse } from "graphql";
import { createClient } from "graphql-ws";

const url = new URL("/graphql", location.href);
const socketUrl = Object.assign(new URL(url), { protocol: url.protocol === "https:" ? "wss:" : "ws:" }).href;

let sockets = new Map();
let mutated = () => {};

// GraphiQL's own idea of the document lags behind the editor for a moment; the text that is sent decides.
export async function fetcher(params, { headers } = {}) {
  const operation = operationOf(params);
  const request = { ...params, operationName: operation?.name?.value ?? params.operationName };
  if (operation?.operation === "subscription") return events(socket(bearerOf(headers)), request);
  const answer = await post(request, headers);
  if (operation?.operation === "mutation") mutated();
  return answer;
}

// A mutation in the editor may sign somebody in or out.
export function afterMutation(call) {
  mutated = call;
}

export async function post(request, headers) {
  const answer = await fetch(url, {
    method: "POST",
    credentials: "same-origin",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json, application/json;q=0.9", ...headers },
    body: JSON.stringify(request),
  });
  return answer.json();
}

// A socket belongs to whoever was signed in when it opened.
export function closeSockets() {
  for (const client of sockets.values()) client.dispose();
  sockets = new Map();
}

function events(client, request) {
  const stream = client.iterate(request);
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => stream.next().catch(explain),
    return: () => stream.return(),
  };
}

function explain(cause) {
  throw cause instanceof CloseEvent ? new Error(`The socket was closed: ${cause.code} ${cause.reason}`.trim()) : cause;
}

function socket(bearer) {
  if (!sockets.has(bearer)) {
    sockets.set(bearer, createClient({ url: socketUrl, connectionParams: bearer && { authorization: bearer } }));
  }
  return sockets.get(bearer);
}

function bearerOf(headers = {}) {
  return Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === "authorization")?.[1];
}

function operationOf({ query, operationName }) {
  let operations;
  try {
    operations = parse(query).definitions.filter((definition) => definition.kind === "OperationDefinition");
  } catch {
    return undefined; // The server says what is wrong with the text.
  }
  return operations.length === 1 ? operations[0] : operations.find(({ name }) => name?.value === operationName);
}
