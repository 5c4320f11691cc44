-- Append readings of the common stream to their partition's stream, each once and in their order.
--
-- KEYS: readings, routed   ARGV: (id, n, field, value, ...)...
-- Returns how many of them were appended before, which is so after a router died before it trimmed the common stream.
local readings, routed = unpack(KEYS)
local last = redis.call('GET', routed) or '0-0'
local top = newest(readings)
local repeated = 0
local i = 1
while i <= #ARGV do
  local id, width = ARGV[i], tonumber(ARGV[i + 1])
  if after(id, last) then
    -- Under its own id, unless a producer that knows the partition was faster.
    top = redis.call('XADD', readings, after(id, top) and id or '*', unpack(ARGV, i + 2, i + 1 + width))
    last = id
  else
    repeated = repeated + 1
  end
  i = i + 2 + width
end
redis.call('SET', routed, last)
return repeated
