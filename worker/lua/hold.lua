-- Renew a lease of ours (lease_ms > 0), or release it (lease_ms = 0).
--
-- KEYS: lease   ARGV: epoch, lease_ms
-- Returns 1, or 0 if another epoch has begun.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) == 0 then
  redis.call('HDEL', KEYS[1], 'owner')  -- HDEL works even if Redis is out of memory
  return 1
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'expires_ms', now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2])
return 1
