-- List some fields of a hash without their values; a full list may exceed the client's output buffer limit.
--
-- KEYS: hash   ARGV: cursor, count
-- Returns the next cursor, '0' at the end, and the names. A name may come twice.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local names = {}
for i = 1, #page[2], 2 do names[#names + 1] = page[2][i] end
return {page[1], names}
