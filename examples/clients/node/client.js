// Push readings of one series, and print each one's forecast: node client.js boiler-7 42.1 42.3 42.2
// REDIS_URL says where Redis listens.
import { createClient } from 'redis';

const [series, ...values] = process.argv.slice(2);
if (!series || values.length === 0) {
  console.error('usage: node client.js SERIES VALUE...');
  process.exit(2);
}
const redis = createClient({ url: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' });
redis.on('error', (error) => console.error(`Redis: ${error.message}`));
await redis.connect();

// A forecast bears the id of the reading that caused it, so an id is all that there is to remember.
const waiting = new Map();
for (const value of values) {
  waiting.set(await redis.xAdd('readings', '*', { series, value }), value);
}
let last = before([...waiting.keys()][0]);
while (waiting.size > 0) {
  const reply = await redis.xRead({ key: 'forecasts', id: last }, { BLOCK: 1000, COUNT: 100 });
  for (const { id, message } of reply?.[0]?.messages ?? []) {
    last = id;
    if (waiting.delete(id)) {
      console.log(JSON.stringify({ id, series, y: Number(message.y), yhat: Number(message.yhat), kind: message.kind }));
    }
  }
}
await redis.close();

// The id from which XREAD, which reads what comes after one, begins with this very entry.
function before(id) {
  return `${Number(id.split('-')[0]) - 1}-0`;
}
