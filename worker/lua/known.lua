-- Read the server's clock, and then the entries after an id: later entries have ids from this clock on.
--
-- KEYS: known   ARGV: the id, how many entries at most
-- Returns the clock in epoch milliseconds, and the entries.
local now = redis.call('TIME')
local read = redis.call('XREAD', 'COUNT', ARGV[2], 'STREAMS', KEYS[1], ARGV[1])
return { now[1] * 1000 + math.floor(now[2] / 1000), read and read[1] and read[1][2] or {} }
