-- Read the server's clock, and then the entries after an id: later entries have ids from this clock on. A stream that
-- has never had this id was deleted and recreated: it is read from its start.
--
-- KEYS: known   ARGV: the id, how many entries at most
-- Returns the clock in epoch milliseconds, the entries, and the id of the stream's first entry; empty without entries.
local now = redis.call('TIME')
local info = redis.call('EXISTS', KEYS[1]) == 1 and named(redis.call('XINFO', 'STREAM', KEYS[1])) or {}
local from = after(ARGV[1], info['last-generated-id'] or '0-0') and '0-0' or ARGV[1]
local read = redis.call('XREAD', 'COUNT', ARGV[2], 'STREAMS', KEYS[1], from)
local first = info['first-entry'] and info['first-entry'][1] or ''
return { now[1] * 1000 + math.floor(now[2] / 1000), read and read[1] and read[1][2] or {}, first }
