// Runs operations with the graphql-sse client, each on a connection of its own: node over_sse.mjs URL '{"token": …, "operations": [{"query": …, "take": n}]}'
// Prints one JSON line an event: {"i", "next" | "error" | "complete"}.
import { createClient } from 'graphql-sse';

const [url, plan] = process.argv.slice(2);
const { token, operations } = JSON.parse(plan);
const say = (line) => console.log(JSON.stringify(line));

const client = createClient({
  url,
  retryAttempts: 0,
  headers: token ? { Authorization: `Bearer ${token}` } : undefined,
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
            say({ i, error: error.message });
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
client.dispose();
process.exit(); // fetch keeps idle connections for some seconds
