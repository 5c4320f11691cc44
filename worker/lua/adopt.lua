-- Write fields of a hash of a new partition, or open the partition; nothing is written once it is open.
--
-- KEYS: offset, hash (to open: the offset), events   ARGV: events_kept, n, fields and values of an event..., fields and
-- values of the hash...
-- Returns 1, or 0 if the partition is open: whoever opened it had written all hashes.
local offset, hash, events = unpack(KEYS)
if redis.call('HGET', offset, 'last') then return 0 end
local width = tonumber(ARGV[2])
if width > 0 then redis.call('XADD', events, 'MAXLEN', ARGV[1], '*', unpack(ARGV, 3, 2 + width)) end
local i = 3 + width
while i <= #ARGV do
  local stop = math.min(i + 3999, #ARGV)
  redis.call('HSET', hash, unpack(ARGV, i, stop))
  i = stop + 1
end
return 1
