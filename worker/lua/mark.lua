-- Write fields of the offset of a new partition once all that was sent to it is there: `copied`, or those that open it.
--
-- KEYS: offset, events   ARGV: copy, written, events_kept, n, fields and values of an event..., fields and values...
-- Returns 1, or 0 if the partition is open. Refused with CONFLICT if another copy was begun, or writes were lost.
local offset, events = unpack(KEYS)
local last, copy, written = unpack(redis.call('HMGET', offset, 'last', 'copy', 'written'))
if last then return 0 end
if copy ~= ARGV[1] or written ~= ARGV[2] then
  return redis.error_reply('CONFLICT ' .. offset .. ' is not as it was written')
end
redis.call('HSET', offset, 'copy', copy) -- fails without the right, before the event is written
local width = tonumber(ARGV[4])
if width > 0 then redis.call('XADD', events, 'MAXLEN', ARGV[3], '*', unpack(ARGV, 5, 4 + width)) end
redis.call('HSET', offset, unpack(ARGV, 5 + width))
if redis.call('HGET', offset, 'last') then redis.call('HDEL', offset, 'copy', 'written', 'copied') end
return 1
