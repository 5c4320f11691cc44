// Push readings of one series, each when the one before it is answered, and print the forecasts:
//   node client.js boiler-7 42.1 42.3 42.2
// REDIS_URL says where Redis listens.
import { createClient } from 'redis';

const HINT_MS = 10_000; // a worker's first start on a machine may take longer: then the client says what it waits for
const PATIENCE_MS = 300_000;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i; // a worker sets all else aside, as a dead letter
const [series, ...values] = process.argv.slice(2);
if (!series || values.length === 0) {
  console.error('usage: node client.js SERIES VALUE...');
  process.exit(2);
}
const wrong = values.find((value) => !NUMBER.test(value));
if (wrong !== undefined) {
  console.error(`the value ${JSON.stringify(wrong)} is not a decimal number: write one such as 42.1`);
  process.exit(2);
}
const redis = createClient({ url: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' });
redis.on('error', (error) => console.error(`Redis: ${error.message}`));
await redis.connect();

let ts = 0;
for (const value of values) {
  // A series' time is answered once: two readings of one millisecond would be a duplicate.
  ts = Math.max(Date.now(), ts + 1);
  const id = await redis.xAdd('readings', '*', { series, value, ts: String(ts) });
  const forecast = await forecastOf(id);
  if (!forecast) {
    console.error(`${id} was not answered within ${PATIENCE_MS} ms: does a worker run, and does the stream dead say why?`);
    process.exitCode = 1;
    break;
  }
  console.log(JSON.stringify({ id, series, y: Number(forecast.y), yhat: Number(forecast.yhat), kind: forecast.kind }));
}
await redis.close();

// A forecast bears the id of the reading that caused it: wait for just that entry.
async function forecastOf(id) {
  const [ms, seq] = id.split('-').map(BigInt);
  let last = seq > 0n ? `${ms}-${seq - 1n}` : `${ms - 1n}-18446744073709551615`; // XREAD begins after it
  const began = Date.now();
  let hinted = false;
  while (Date.now() - began < PATIENCE_MS) {
    if (!hinted && Date.now() - began > HINT_MS) {
      console.error(`waiting for the forecast of ${id}: does a worker run? Its first start on a machine takes a while.`);
      hinted = true;
    }
    const reply = await redis.xRead({ key: 'forecasts', id: last }, { BLOCK: 1000, COUNT: 100 });
    for (const entry of reply?.[0]?.messages ?? []) {
      if ((entry.message.id ?? entry.id) === id) return entry.message; // merged forecasts have the field id
      last = entry.id;
    }
  }
  return null;
}
