-- Close a partition for good, since a repartition moves its series: no commit of its epoch succeeds, and no worker
-- acquires it again. Readings after the last commit are routed to the new partitions.
--
-- KEYS: lease, offset, readings, state, events   ARGV: events_kept, fields and values of an event, if there is one...
-- Returns 1, or 0 if the partition was closed before. Refused with NOTYET while the offset does not fit the stream.
local lease, offset, readings, state, events = unpack(KEYS)
if redis.call('HGET', offset, 'closed') then return 0 end
local last = redis.call('HGET', offset, 'last')
-- A worker that acquires the partition corrects the offset first.
if not last and redis.call('EXISTS', state) == 1 then
  return redis.error_reply('NOTYET ' .. offset .. ' has no last reading')
end
if last and redis.call('EXISTS', readings) == 1 then
  local info = named(redis.call('XINFO', 'STREAM', readings))
  if info['length'] > 0 and after(last, info['last-generated-id']) then
    return redis.error_reply('NOTYET ' .. readings .. ' was deleted and started again')
  end
end
local epoch = redis.call('HGET', lease, 'epoch') or '0'
if not (string.match(epoch, '^%d+$') and #epoch <= 15) then
  return redis.error_reply('WRONGKEY the epoch in ' .. lease .. ' is ' .. epoch .. ', which is not a whole number')
end
-- A command that the user may not call fails: these need the same rights as those below, and change nothing yet.
redis.call('HSET', lease, 'epoch', redis.call('HINCRBY', lease, 'epoch', 0))
redis.call('HDEL', lease, '')
-- The event first: if the stream takes no entry, nothing is written.
if #ARGV > 1 then redis.call('XADD', events, 'MAXLEN', ARGV[1], '*', unpack(ARGV, 2)) end
if not last then redis.call('HSET', offset, 'last', '0-0') end
redis.call('HSET', offset, 'closed', 1)
redis.call('HINCRBY', lease, 'epoch', 1)
redis.call('HDEL', lease, 'owner')
return 1
