-- Register a worker as alive for ttl_ms, or remove it (ttl_ms = 0); uses the server's clock.
--
-- KEYS: workers   ARGV: name, ttl_ms, longest_ms, silent_ms
-- If a worker's end is later than longest_ms from now, or is not a number, it is set to ttl_ms from now. A worker with
-- the same ttl_ms that has been silent for silent_ms is left out. Returns the names of all other live workers and ours,
-- a flat list with the name and the old end of each worker whose end was corrected, and in how many ms the first other
-- worker will be left out unless it registers again; -1 if there is no other.
local stored_type = redis.call('TYPE', KEYS[1]).ok
if stored_type ~= 'none' and stored_type ~= 'hash' then
  return redis.error_reply('WRONGKEY ' .. KEYS[1] .. ' is not a hash')
end
local function whole(text) -- nil if the text is not a whole number
  return text and string.match(text, '^%d+$') and #text <= 15 and tonumber(text) or nil
end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], now + ARGV[2])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
local least = ARGV[2] - ARGV[4] -- left of the time of a worker that has been silent for silent_ms
local alive, cut, first, known = {}, {}, -1, redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  local left = (whole(known[i + 1]) or math.huge) - now
  if left > tonumber(ARGV[3]) then
    cut[#cut + 1] = known[i]
    cut[#cut + 1] = known[i + 1]
    left = tonumber(ARGV[2])
    redis.call('HSET', KEYS[1], known[i], now + left)
  end
  if left <= 0 then
    redis.call('HDEL', KEYS[1], known[i])
  elseif left > least then
    alive[#alive + 1] = known[i]
    if known[i] ~= ARGV[1] and (first < 0 or left - least < first) then first = left - least end
  end
end
return {alive, cut, first}
