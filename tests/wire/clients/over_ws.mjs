// Runs operations with the graphql-ws client: node over_ws.mjs URL '{"token": …, "operations": [{"query": …, "take": n}]}'
// Prints one JSON line an event: {"i", "next" | "error" | "complete"}, and {"closed"} at the end.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url, plan] = process.argv.slice(2);
const { token, operations } = JSON.parse(plan);
const say = (line) => console.log(JSON.stringify(line));

const client = createClient({
  url,
  webSocketImpl: WebSocket,
  lazy: true,
  keepAlive: 1000,
  retryAttempts: 0,
  connectionParams: token ? { Authorization: `Bearer ${token}` } : undefined,
  on: { closed: (event) => say({ closed: event.code, reason: event.reason }) },
});

await Promise.all(
  operations.map(
    ({ take, ...payload }, i) =>
      new Promise((done) => {
        let taken = 0;
        const stop = client.subscribe(payload, {
          next: (next) => {
            say({ i, next });
            if (++taken === take) stop();
          },
          error: (error) => {
            say({ i, error: error.code ? { code: error.code, reason: error.reason } : error });
            done();
          },
          complete: () => {
            say({ i, complete: true });
            done();
          },
        });
      }),
  ),
);
await client.dispose();
