-- Write down when the next run of the schedule is due, if nothing is written yet or the schedule was set differently.
--
-- KEYS: retrain   ARGV: trigger, next_ms
-- A run that has begun is not touched. Returns the whole record.
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' and found ~= 'hash' then
  return redis.error_reply('WRONGKEY ' .. KEYS[1] .. ' is not a hash')
end
local trigger, next_ms = unpack(redis.call('HMGET', KEYS[1], 'trigger', 'next_ms'))
if trigger ~= ARGV[1] or not next_ms then
  redis.call('HSET', KEYS[1], 'trigger', ARGV[1], 'next_ms', ARGV[2])
end
return redis.call('HGETALL', KEYS[1])
