-- Take a partition that is free, expired or already mine, under a new epoch; by the server's clock.
--
-- KEYS: lease, offset, readings, state, forecasts, dead   ARGV: owner, lease_ms, group, longest_ms,
--       instance, fresh
-- Every check before any write. Returns {epoch}, with 0 while another owner's lease runs. A lease that would run for
-- longer than any lease may, or until what is not a number, runs for lease_ms from now; then its old end is returned as
-- well. {-1}: another instance holds the lease under the same name. A fresh one, which has never held it, takes it over,
-- for it may have been started in the other's place; one that has held it before is the other's twin.
local lease, offset, readings, state, forecasts, dead = unpack(KEYS)
for key, kind in pairs({[lease] = 'hash', [offset] = 'hash', [state] = 'hash', [readings] = 'stream'}) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    return redis.error_reply('WRONGKEY ' .. key .. ' is not a ' .. kind)
  end
end
local function whole(text) -- nil for what is not a whole number
  return text and string.match(text, '^%d+$') and #text <= 15 and tonumber(text) or nil
end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local owner, expires, instance = unpack(redis.call('HMGET', lease, 'owner', 'expires_ms', 'instance'))
if owner and owner ~= ARGV[1] then
  local left = (whole(expires) or math.huge) - now
  if left > tonumber(ARGV[4]) then
    redis.call('HSET', lease, 'expires_ms', now + ARGV[2])
    return {0, expires or ''}
  end
  if left > 0 then return {0} end
end
local twin = owner and instance and instance ~= ARGV[5] and ARGV[6] ~= '1'
if twin and (whole(expires) or 0) > now then
  redis.call('HSET', lease, 'twin_ms', now)
  return {-1}
end
-- The epoch fences off former owners, so it is never begun anew; the counts only inform.
local former = redis.call('HGET', lease, 'epoch')
if former and not whole(former) then
  former = string.sub(former, 1, 40)
  return redis.error_reply('WRONGKEY the epoch in ' .. lease .. ' is ' .. former .. ', which is not a whole number')
end
local info
if redis.call('EXISTS', readings) == 1 then
  info = named(redis.call('XINFO', 'STREAM', readings))
end
local last, read, before = unpack(redis.call('HMGET', offset, 'last', 'read', 'before'))
local function is_id(text) -- as Redis reads it: two numbers of 64 bits
  local ms, seq = string.match(text, '^(%d+)%-(%d+)$')
  local most = '18446744073709551615'
  local function fits(part) return #part < #most or (#part == #most and part <= most) end
  return ms and fits(ms) and fits(seq)
end
if last and not is_id(last) then
  last = string.sub(last, 1, 40)
  return redis.error_reply('WRONGKEY last in ' .. offset .. ' is ' .. last .. ', which is not an entry id')
end
read = whole(read) or 0
local former_before = before
before = before and string.match(before, '^%-?%d+$') and tonumber(before) or 0

if not last then
  last = '0-0'
  -- Before the first worker ever, nothing was lost: what had been trimmed by then counts as read.
  if info and info['entries-added'] then read = info['entries-added'] - info['length'] end
  -- Where there are states, only the offset was deleted: to begin anew would meet windows that hold the readings
  -- already. The passive group stands where the last commit has left it.
  if info and redis.call('EXISTS', state) == 1 then
    for _, each in ipairs(redis.call('XINFO', 'GROUPS', readings)) do
      local group = named(each)
      if group['name'] == ARGV[3] and group['last-delivered-id'] ~= '0-0' then
        last, read = group['last-delivered-id'], group['entries-read'] or read
      end
    end
  end
end

-- Ids of a stream only grow. Where the newest is before the offset, somebody deleted the stream and began it anew, and
-- nothing in it was answered: begin at its start. A forecast and a dead letter have their reading's id, which must be
-- new to their streams; else the partition waits until somebody has renamed them. A key of another type is the
-- commit's concern.
local function is_stream(key)
  local kind = redis.call('TYPE', key).ok
  return kind == 'stream' or kind == 'none'
end
local outputs = is_stream(forecasts) and is_stream(dead)
if outputs and info and info['length'] > 0 and after(last, info['last-generated-id']) then
  local start = newest(forecasts)
  if after(newest(dead), start) then start = newest(dead) end
  if after(info['first-entry'][1], start) then
    last = start
    -- How many readings were read before the stream's own count began; what it has lost since then is lost.
    local added = info['entries-added']
    if added and added < read - before then
      before = read
    elseif added then
      before = read - math.min(added - info['length'], read - before)
    end
  end
end

local counts = redis.call('HGETALL', offset)
for i = 1, #counts, 2 do
  if counts[i] ~= 'last' and counts[i] ~= 'before' and not whole(counts[i + 1]) then
    redis.call('HSET', offset, counts[i], 0)
  end
end
local epoch = redis.call('HINCRBY', lease, 'epoch', 1)
-- An owner that is still named did not give the lease back: perhaps the readings killed it.
redis.call('HSET', lease, 'owner', ARGV[1], 'instance', ARGV[5], 'expires_ms', now + ARGV[2],
  'abandoned', owner and 1 or 0)
redis.call('HSET', offset, 'last', last, 'read', read)
if before ~= 0 or former_before then redis.call('HSET', offset, 'before', before) end
return {epoch}
