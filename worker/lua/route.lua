-- Append readings of other streams to a partition's stream, each once and in their order.
--
-- KEYS: readings, routed, offset   ARGV: number of streams, streams..., (stream's number, id, n, field, value, ...)...
-- `routed` has the last reading of each stream. Returns how many readings were appended before, which is so after a
-- router died before it removed them from their stream.
local readings, routed, offset = unpack(KEYS)
if redis.call('HGET', offset, 'closed') then
  return redis.error_reply('CLOSED ' .. readings .. ' belongs to a former number of partitions')
end
local streams = tonumber(ARGV[1])
local last = redis.call('HMGET', routed, unpack(ARGV, 2, 1 + streams))
local top = newest(readings)
if is_full(readings) then
  return redis.error_reply('WRONGKEY ' .. readings .. ' holds the highest ids there are, so it takes no other entry')
end
redis.call('HSET', routed, ARGV[2], last[1] or '0-0') -- fails without the right, before readings are appended
local repeated = 0
local i = 2 + streams
while i <= #ARGV do
  local stream, id, width = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2])
  if not last[stream] or after(id, last[stream]) then
    -- Under its own id, unless a producer that knows the partition was faster.
    top = redis.call('XADD', readings, after(id, top) and id or '*', unpack(ARGV, i + 3, i + 2 + width))
    last[stream] = id
  else
    repeated = repeated + 1
  end
  i = i + 3 + width
end
for stream = 1, streams do
  if last[stream] then redis.call('HSET', routed, ARGV[1 + stream], last[stream]) end
end
return repeated
