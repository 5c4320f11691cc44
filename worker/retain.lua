-- Trim readings that are older than a time and committed. About: whole blocks of the stream, never one reading more.
--
-- KEYS: lease, offset, readings   ARGV: epoch, since_ms
local lease, offset, readings = unpack(KEYS)
if redis.call('HGET', lease, 'epoch') ~= ARGV[1] then
  return redis.error_reply('FENCED another worker holds the partition')
end
local last = redis.call('HGET', offset, 'last')
if not last then return 0 end
-- Entry ids hold 64-bit numbers, more than a Lua number does: compare them as text.
local ms, since = string.match(last, '^(%d+)-'), ARGV[2]
local older = #ms < #since or (#ms == #since and ms < since)
return redis.call('XTRIM', readings, 'MINID', '~', older and last or since)
