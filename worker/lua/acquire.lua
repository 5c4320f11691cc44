-- Acquire a partition that is free, expired or already ours, under a new epoch; uses the server's clock.
--
-- KEYS: lease, offset, readings, state, forecasts, dead, events, changed, orders; with merged forecasts the stream of all
--       partitions
-- ARGV: owner, lease_ms, group, longest_ms, instance, fresh, settings
-- All checks come before all writes. Keys that only a commit writes are checked too: a worker would load all states, and
-- then fail at its first commit. Returns {epoch}; {0} after a repartition has closed the partition; {0, ms, end, owner,
-- settings} while another owner holds the lease, for so long. If the lease's end is later than any lease allows, or is
-- not a number, it is set to lease_ms from now, and the old end is returned; else nil. The settings are those of the
-- owner if they differ from ours, else nil; the lease then names us too, for `tidecast doctor`.
-- Returns {-1} if another instance holds the lease under the same name and this one is its twin: it has held the lease
-- before. A fresh instance, which has never held the lease, takes it over, since it may replace the other one.
local lease, offset, readings, state, forecasts, dead = unpack(KEYS)
local kinds = {'hash', 'hash', 'stream', 'hash', 'stream', 'stream', 'stream', 'set', 'hash', 'stream'}
for i, key in ipairs(KEYS) do
  local stored_type = redis.call('TYPE', key).ok
  if stored_type ~= 'none' and stored_type ~= kinds[i] then
    return redis.error_reply('WRONGKEY ' .. key .. ' is not a ' .. kinds[i])
  end
end
if redis.call('HGET', offset, 'closed') then return {0} end -- its series have moved
local function whole(text) -- nil if the text is not a whole number
  return text and string.match(text, '^%d+$') and #text <= 15 and tonumber(text) or nil
end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local owner, expires, instance = unpack(redis.call('HMGET', lease, 'owner', 'expires_ms', 'instance'))
if owner and owner ~= ARGV[1] then
  local left = (whole(expires) or math.huge) - now
  local stored = false
  if left > tonumber(ARGV[4]) then
    redis.call('HSET', lease, 'expires_ms', now + ARGV[2])
    left = tonumber(ARGV[2])
    stored = expires or ''
  end
  if left > 0 then
    local theirs = redis.call('HGET', lease, 'settings')
    local differs = theirs and ARGV[7] ~= '' and theirs ~= ARGV[7]
    if differs then
      redis.call('HSET', lease, 'other', ARGV[1], 'other_settings', ARGV[7], 'other_ms', now)
    end
    return {0, left, stored, owner, differs and theirs}
  end
end
local twin = owner and instance and instance ~= ARGV[5] and ARGV[6] ~= '1'
if twin and (whole(expires) or 0) > now then
  redis.call('HSET', lease, 'twin_ms', now)
  return {-1}
end
-- The epoch fences off former owners, so it never restarts; the counts are only statistics.
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
local function is_id(text) -- as Redis parses it: two 64-bit numbers
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
  -- Before the first worker ever, nothing was lost: readings that were trimmed by then count as read.
  if info and info['entries-added'] then read = info['entries-added'] - info['length'] end
  -- If there are states, only the offset was deleted. Starting again from 0-0 would feed readings to windows that
  -- already hold them. The passive group still has the position of the last commit.
  if info and redis.call('EXISTS', state) == 1 then
    for _, each in ipairs(redis.call('XINFO', 'GROUPS', readings)) do
      local group = named(each)
      if group['name'] == ARGV[3] and group['last-delivered-id'] ~= '0-0' then
        last, read = group['last-delivered-id'], group['entries-read'] or read
      end
    end
  end
end

-- Ids of a stream only grow. If the newest one is before the offset, the stream was deleted and recreated, and none of
-- its entries was answered: begin at its start. A forecast and a dead letter use their reading's id, which must be new
-- to their streams. Otherwise the partition waits until these streams are renamed.
if info and info['length'] > 0 and after(last, info['last-generated-id']) then
  local start = newest(forecasts)
  if after(newest(dead), start) then start = newest(dead) end
  if after(info['first-entry'][1], start) then
    last = start
    -- The number of readings read before the stream's own count began; entries trimmed since then are lost.
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
-- An owner that is still named did not release the lease: perhaps the readings killed it.
redis.call('HSET', lease, 'owner', ARGV[1], 'instance', ARGV[5], 'expires_ms', now + ARGV[2],
  'abandoned', owner and 1 or 0, 'settings', ARGV[7])
redis.call('HSET', offset, 'last', last, 'read', read)
if before ~= 0 or former_before then redis.call('HSET', offset, 'before', before) end
return {epoch}
