-- Take, keep or give back the right to post events, and store how far they are posted; uses the server's clock.
--
-- KEYS: notify   ARGV: owner, ttl_ms (0: give it back), takes (1: take it if no one has it), longest_ms, field, value...
-- Returns 1, or 0 if another owner has the right, or if ours was lost and `takes` is 0; then nothing is stored. If the
-- whole record was deleted, as when Redis was emptied, the right is still ours.
local stored_type = redis.call('TYPE', KEYS[1]).ok
if stored_type ~= 'none' and stored_type ~= 'hash' then
  return redis.error_reply('WRONGKEY ' .. KEYS[1] .. ' is not a hash')
end
local owner, ttl_ms, takes, longest_ms = unpack(ARGV, 1, 4)
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local holder, expires = unpack(redis.call('HMGET', KEYS[1], 'owner', 'expires_ms'))
if holder ~= owner then
  local left = (tonumber(expires) or 0) - now
  local held = holder and left > 0 and left <= tonumber(longest_ms)
  if held or (takes == '0' and stored_type ~= 'none') then return 0 end
end
if tonumber(ttl_ms) > 0 then
  redis.call('HSET', KEYS[1], 'owner', owner, 'expires_ms', now + ttl_ms)
else
  redis.call('HDEL', KEYS[1], 'owner', 'expires_ms')
end
if #ARGV > 4 then redis.call('HSET', KEYS[1], unpack(ARGV, 5)) end
return 1
