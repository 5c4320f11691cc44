-- Return the beginnings of the names and values of one entry that is too large to be sent.
--
-- KEYS: stream   ARGV: last, most
-- Returns nil, or the id of the entry after `last` and a list of texts, each cut to `most` bytes, each with its size.
local reply = redis.call('XREAD', 'COUNT', 1, 'STREAMS', KEYS[1], ARGV[1])
if not reply then return nil end
local id, fields = unpack(reply[1][2][1])
local cut = {}
for i = 1, #fields do
  cut[#cut + 1] = string.sub(fields[i], 1, tonumber(ARGV[2]))
  cut[#cut + 1] = #fields[i]
end
return {id, cut}
