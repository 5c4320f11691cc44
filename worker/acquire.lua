-- Take a partition that is free, expired or already mine, under a new epoch; by the server's clock.
--
-- KEYS: lease, offset, readings, state   ARGV: owner, lease_ms, group
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
-- A list of names and values, as XINFO answers, as a table.
local function named(list)
  local found = {}
  for i = 1, #list, 2 do found[list[i]] = list[i + 1] end
  return found
end

if redis.call('HEXISTS', offset, 'last') == 0 then
  local last, read = '0-0', 0
  if redis.call('EXISTS', readings) == 1 then
    -- Before the first worker ever, nothing was lost: what had been trimmed by then counts as read.
    local info = named(redis.call('XINFO', 'STREAM', readings))
    if info['entries-added'] then read = info['entries-added'] - info['length'] end
    -- Where there are states, only the offset was deleted: to begin anew would meet windows that hold the readings
    -- already. The passive group stands where the last commit has left it.
    if redis.call('EXISTS', state) == 1 then
      for _, each in ipairs(redis.call('XINFO', 'GROUPS', readings)) do
        local group = named(each)
        if group['name'] == ARGV[3] and group['last-delivered-id'] ~= '0-0' then
          last, read = group['last-delivered-id'], group['entries-read'] or read
        end
      end
    end
  end
  redis.call('HSET', offset, 'last', last, 'read', read)
end
return epoch
