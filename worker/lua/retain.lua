-- Trim exactly the readings that are older than a time and committed.
--
-- KEYS: lease, offset, readings   ARGV: epoch, since_ms, most
-- Returns 1, or 0 once about `most` readings are trimmed and there may be more: Redis serves other clients in between.
local lease, offset, readings = unpack(KEYS)
if redis.call('HGET', lease, 'epoch') ~= ARGV[1] then
  return redis.error_reply('FENCED another worker holds the partition, or its lease was deleted')
end
local last = redis.call('HGET', offset, 'last')
if not last then return 1 end
-- If the ids end before the offset, the stream was recreated, and none of its entries was answered.
if after(last, newest(readings)) then return 1 end
-- Entry ids have 64-bit numbers, which a Lua number cannot hold exactly: compare them as text.
local ms, since = string.match(last, '^(%d+)-'), ARGV[2]
local older = #ms < #since or (#ms == #since and ms < since)
local first = older and last or since
-- Whole blocks of the stream first, since LIMIT works only with `~`.
local trimmed = redis.call('XTRIM', readings, 'MINID', '~', first, 'LIMIT', ARGV[3])
if trimmed > ARGV[3] / 2 then return 0 end
redis.call('XTRIM', readings, 'MINID', first)
return 1
