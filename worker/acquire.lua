-- Take a partition that is free, expired or already mine, under a new epoch; by the server's clock.
--
-- KEYS: lease, offset, readings, state   ARGV: owner, lease_ms
-- Every check before any write. Returns the new epoch, or nil while another owner's lease runs.
local lease, offset, readings, state = unpack(KEYS)
for key, kind in pairs({[lease] = 'hash', [offset] = 'hash', [state] = 'hash', [readings] = 'stream'}) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    return redis.error_reply('WRONGKEY ' .. key .. ' is not a ' .. kind)
  end
end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local owner, expires = unpack(redis.call('HMGET', lease, 'owner', 'expires_ms'))
if owner and owner ~= ARGV[1] and tonumber(expires) > now then return nil end
local epoch = redis.call('HINCRBY', lease, 'epoch', 1)
-- An owner that is still named did not give the lease back: perhaps the readings killed it.
redis.call('HSET', lease, 'owner', ARGV[1], 'expires_ms', now + ARGV[2], 'abandoned', owner and 1 or 0)
-- Before the first worker ever, nothing was lost: what had been trimmed by then counts as read.
if redis.call('HSETNX', offset, 'last', '0-0') == 1 then
  local trimmed = 0
  if redis.call('EXISTS', readings) == 1 then
    local info, added, length = redis.call('XINFO', 'STREAM', readings), nil, nil
    for i = 1, #info, 2 do
      if info[i] == 'entries-added' then added = info[i + 1] end
      if info[i] == 'length' then length = info[i + 1] end
    end
    if added then trimmed = added - length end
  end
  redis.call('HSET', offset, 'read', trimmed)
end
return epoch
