-- Write and delete fields of a hash of a new partition, for the copy that was begun last.
--
-- KEYS: offset, hash   ARGV: copy, number of fields to delete, those fields..., fields and values to write...
-- Returns 1, or 0 if the partition is open: the worker that opened it had written all hashes. `written` counts the
-- fields, so that lost or repeated writes are noticed. Refused with CONFLICT if another copy was begun.
local offset, hash = unpack(KEYS)
local last, copy = unpack(redis.call('HMGET', offset, 'last', 'copy'))
if last then return 0 end
if copy ~= ARGV[1] then return redis.error_reply('CONFLICT another worker copies to ' .. hash) end
local deleted = tonumber(ARGV[2])
local i = 3
local function in_parts(command, stop) -- parts that fit on the Lua stack
  while i <= stop do
    local to = math.min(i + 3999, stop)
    redis.call(command, hash, unpack(ARGV, i, to))
    i = to + 1
  end
end
in_parts('HDEL', 2 + deleted)
in_parts('HSET', #ARGV)
redis.call('HINCRBY', offset, 'written', deleted + (#ARGV - 2 - deleted) / 2)
return 1
