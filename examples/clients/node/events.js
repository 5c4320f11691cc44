// Read events through a consumer group, and print and acknowledge each:
//   node events.js GROUP CONSUMER
// REDIS_URL says where Redis listens.
import { createClient } from 'redis';

const [group, consumer] = process.argv.slice(2);
if (!consumer) {
  console.error('usage: node events.js GROUP CONSUMER');
  process.exit(2);
}
const redis = createClient({ url: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' });
redis.on('error', (error) => console.error(`Redis: ${error.message}`));
await redis.connect();
try {
  await redis.xGroupCreate('events', group, '0', { MKSTREAM: true });
} catch (error) {
  if (!error.message.startsWith('BUSYGROUP')) throw error; // the group exists already
}
// First the entries that this consumer has read and not acknowledged, then new ones.
for (let id = '0'; ; ) {
  const reply = await redis.xReadGroup(group, consumer, { key: 'events', id }, { COUNT: 100, BLOCK: 1000 });
  const entries = reply?.[0]?.messages ?? [];
  for (const entry of entries) {
    console.log(JSON.stringify(entry.message));
    await redis.xAck('events', group, entry.id);
  }
  if (entries.length === 0) id = '>';
}
