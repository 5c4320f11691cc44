-- Return the server's clock in epoch milliseconds.
--
-- KEYS: any key of the server
local now = redis.call('TIME')
return now[1] * 1000 + math.floor(now[2] / 1000)
