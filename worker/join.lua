-- Say that a worker is alive for another while (ttl_ms > 0), or that it leaves (ttl_ms = 0); by the server's clock.
--
-- KEYS: workers   ARGV: name, ttl_ms
-- Returns the names of all workers alive.
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' and found ~= 'hash' then
  return redis.error_reply('WRONGKEY ' .. KEYS[1] .. ' is not a hash')
end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], now + ARGV[2])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
local alive, known = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  if tonumber(known[i + 1]) > now then
    alive[#alive + 1] = known[i]
  else
    redis.call('HDEL', KEYS[1], known[i])
  end
end
return alive
