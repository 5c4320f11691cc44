-- Renew the claim to a run; uses the server's clock.
--
-- KEYS: retrain   ARGV: token, ttl_ms
-- Returns 1, or 0 if the claim was lost.
local state, token = unpack(redis.call('HMGET', KEYS[1], 'state', 'token'))
if state ~= 'running' or token ~= ARGV[1] then return 0 end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'expires_ms', now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2])
return 1
