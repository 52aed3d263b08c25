// Follows price drops with the graphql-ws client through changes of the token: node follow_ws.mjs URL TOKEN
// Each line on stdin is the token from then on. Prints one JSON line an event: {"acknowledged"}, {"closed", "reason"}, {"cursor"} or {"error"}.
import { createInterface } from 'node:readline';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url, first] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

let token = first;
createInterface({ input: process.stdin })
  .on('line', (line) => (token = line))
  .on('close', () => process.exit());

const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: () => ({ authorization: `Bearer ${token}` }),
  on: {
    connected: () => say({ acknowledged: true }),
    closed: (event) => say({ closed: event.code, reason: event.reason }),
  },
});

const variables = {};
client.subscribe(
  { query: 'subscription ($after: String) { priceDrops(after: $after) { cursor } }', variables },
  {
    next: ({ data }) => {
      variables.after = data.priceDrops.cursor;
      say({ cursor: variables.after });
    },
    error: (error) => say({ error: error.code ?? String(error) }),
    complete: () => say({ complete: true }),
  },
);
