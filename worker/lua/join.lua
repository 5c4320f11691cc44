-- Say that a worker is alive for another while (ttl_ms > 0), or that it leaves (ttl_ms = 0); by the server's clock.
--
-- KEYS: workers   ARGV: name, ttl_ms, longest_ms
-- A worker that would count as alive for longer than any may, or until what is not a number, counts for ttl_ms from
-- now. Returns the names of all workers alive, and name and old time in turn of those whose time was cut.
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' and found ~= 'hash' then
  return redis.error_reply('WRONGKEY ' .. KEYS[1] .. ' is not a hash')
end
local function whole(text) -- nil for what is not a whole number
  return text and string.match(text, '^%d+$') and #text <= 15 and tonumber(text) or nil
end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], now + ARGV[2])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
local alive, cut, known = {}, {}, redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  local left = (whole(known[i + 1]) or math.huge) - now
  if left > tonumber(ARGV[3]) then
    cut[#cut + 1] = known[i]
    cut[#cut + 1] = known[i + 1]
    left = tonumber(ARGV[2])
    redis.call('HSET', KEYS[1], known[i], now + left)
  end
  if left > 0 then
    alive[#alive + 1] = known[i]
  else
    redis.call('HDEL', KEYS[1], known[i])
  end
end
return {alive, cut}
