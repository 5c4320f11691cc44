-- Store when the next run of the schedule is due, if nothing is stored yet or the trigger has changed.
--
-- KEYS: retrain   ARGV: trigger, next_ms, then corrections: field, the text that was read, new text...
-- A run that has started is left alone, and a field that has changed since it was read is not corrected. Returns the
-- whole record.
local record = KEYS[1]
local stored_type = redis.call('TYPE', record).ok
if stored_type ~= 'none' and stored_type ~= 'hash' then
  return redis.error_reply('WRONGKEY ' .. record .. ' is not a hash')
end
for i = 3, #ARGV, 3 do
  if (redis.call('HGET', record, ARGV[i]) or '') == ARGV[i + 1] then
    redis.call('HSET', record, ARGV[i], ARGV[i + 2])
  end
end
local trigger, next_ms = unpack(redis.call('HMGET', record, 'trigger', 'next_ms'))
if trigger ~= ARGV[1] or not next_ms then
  redis.call('HSET', record, 'trigger', ARGV[1], 'next_ms', ARGV[2])
end
return redis.call('HGETALL', record)
