-- Publish a batch's forecasts and move the offset, atomically: all checks come before all writes.
--
-- KEYS: lease, offset, readings, forecasts, dead, state, events, changed; with merged forecasts the stream of all
--       partitions
-- ARGV: epoch, from, to, lease_ms, forecasts_kept, dead_kept, events_kept, group, wait_for, then lists, each after its
--       length:
--       counts (name, number)..., dead letters (id, n, field, value, ...)..., events (n, field, value, ...)...,
--       forecasts, each as one argument: id, field, value, ... as strings of MessagePack;
--       then the states (series, state)... up to the end, without a length.
local lease, offset, readings, forecasts, dead, state, events, changed, merged = unpack(KEYS)
local epoch, from, to, lease_ms, forecasts_kept, dead_kept, events_kept, group, wait_for = unpack(ARGV, 1, 9)

local function is(key, kind)
  local stored_type = redis.call('TYPE', key).ok
  return stored_type == 'none' or stored_type == kind
end

local function crowded(n)
  local length = redis.call('XLEN', forecasts)
  return n > 0 and length > 1 and length + n > tonumber(forecasts_kept)
end

-- Return the oldest forecast that a consumer group still needs: its oldest pending entry, else the last one delivered;
-- nil if the group does not exist.
local function unacknowledged(name)
  if redis.call('EXISTS', forecasts) == 0 then return nil end
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', forecasts)) do
    local details = named(info)
    if details.name == name then
      if details.pending > 0 then return redis.call('XPENDING', forecasts, name)[2] end
      return details['last-delivered-id']
    end
  end
  return nil
end

-- Return the place after a list of entries, each with or without an id before its fields.
local function past(i, ids)
  local count = tonumber(ARGV[i])
  i = i + 1
  for _ = 1, count do i = i + ids + 1 + tonumber(ARGV[i + ids]) end
  return i
end

-- The places in ARGV of the length of each list, and of the first state.
local at_counts = 10
local at_letters = at_counts + 1 + 2 * tonumber(ARGV[at_counts])
local at_events = past(at_letters, 1)
local at_forecasts = past(at_events, 0)
local at_states = at_forecasts + 1 + tonumber(ARGV[at_forecasts])

local answered = at_states - at_forecasts - 1
local first_id
if answered > 0 then first_id = cmsgpack.unpack(ARGV[at_forecasts + 1]) end

-- Return whether the first state that this batch writes is stored.
local function stored()
  return at_states < #ARGV and redis.call('HGET', state, ARGV[at_states]) == ARGV[at_states + 1]
end

-- 1. The epoch is ours: no other worker has acquired the partition since.
if redis.call('HGET', lease, 'epoch') ~= epoch then
  return redis.error_reply('FENCED another worker holds the partition, or its lease was deleted')
end
-- 2. The offset is the one this batch started from. If it is the one this batch ends at, the reply was lost. A batch
-- without readings ends where it started; its reply was lost if the first of its states is stored.
local last = redis.call('HGET', offset, 'last')
if last == to and (from ~= to or stored()) then return 'ALREADY' end
if last ~= from then
  return redis.error_reply('CONFLICT the offset is ' .. tostring(last) .. ', the batch started from ' .. from)
end
-- 3. Every key is of the type this script writes, and the ids are new to the streams.
local streams = {{forecasts, 'stream'}, {dead, 'stream'}, {state, 'hash'}, {events, 'stream'}, {merged, 'stream'}}
for _, pair in ipairs(streams) do
  if pair[1] and not is(pair[1], pair[2]) then
    return redis.error_reply('WRONGKEY ' .. pair[1] .. ' is not a ' .. pair[2])
  end
end
local kind = redis.call('TYPE', changed).ok
if kind ~= 'none' and kind ~= 'set' then return redis.error_reply('WRONGKEY ' .. changed .. ' is not a set') end
for _, pair in ipairs({{forecasts, first_id}, {dead, ARGV[at_letters] ~= '0' and ARGV[at_letters + 1]}}) do
  if pair[2] and not after(pair[2], newest(pair[1])) then
    return redis.error_reply('AHEAD ' .. pair[1] .. ' already holds entries up to ' .. newest(pair[1]))
  end
end
local full = ARGV[at_events] ~= '0' and is_full(events) and events
full = full or merged and answered > 0 and is_full(merged) and merged
if full then
  return redis.error_reply('WRONGKEY ' .. full .. ' holds the highest ids there are, so it takes no other entry')
end
-- A worker that acquires the partition again corrects a count that is not a number, or too large for Lua.
local counted, sums = {'before'}, {}
for i = at_counts + 1, at_letters - 1, 2 do counted[#counted + 1] = ARGV[i] end
for i, text in ipairs(redis.call('HMGET', offset, unpack(counted))) do
  local count = tonumber(text or 0)
  if not (count and count > -1e15 and count < 1e15) then
    return redis.error_reply('MISCOUNT ' .. counted[i] .. ' in ' .. offset .. ' is not a count')
  end
  sums[counted[i]] = count
end
for i = at_counts + 1, at_letters - 1, 2 do sums[ARGV[i]] = sums[ARGV[i]] + ARGV[i + 1] end
local now = redis.call('TIME')

-- With wait_for, forecasts that this consumer group has not acknowledged are not trimmed. If they leave too little
-- room, the commit is refused. Acknowledged forecasts are trimmed first; this stays even if the commit is refused.
if wait_for ~= '' then
  local needed = crowded(answered) and unacknowledged(wait_for)
  if needed then redis.call('XTRIM', forecasts, 'MINID', needed) end
  if crowded(answered) then
    local remedy = needed and ': let it read on, or raise worker.forecasts_kept' or
      ', because there is no such group: create it with XGROUP CREATE ' .. forecasts .. ' ' .. wait_for ..
      ' 0, or correct worker.wait_for_group'
    return redis.error_reply('FULL ' .. forecasts .. ' holds ' .. redis.call('XLEN', forecasts) ..
      ' entries that group ' .. wait_for .. ' has not acknowledged' .. remedy)
  end
end

-- 4. Renew the lease. It is the first HSET: Redis refuses a command that the user may not call only when it is called,
-- so each kind of command comes before the entries, or is theirs. While a repartition copies states, the names of those
-- that follow are noted.
redis.call('HSET', lease, 'expires_ms', now[1] * 1000 + math.floor(now[2] / 1000) + lease_ms)
if kind == 'set' then
  for j = at_states, #ARGV, 2 do redis.call('SADD', changed, ARGV[j]) end
end

-- 5. The forecasts, each under its reading's id. A stream is trimmed only with the last entry, and exactly: `~` trims
-- whole blocks, and a single block may hold all entries.
local function add(stream, kept, id, ...)
  if kept then
    redis.call('XADD', stream, 'MAXLEN', kept, id, ...)
  else
    redis.call('XADD', stream, id, ...)
  end
end
local top = merged and answered > 0 and newest(merged)
for i = at_forecasts + 1, at_states - 1 do
  add(forecasts, i == at_states - 1 and wait_for == '' and forecasts_kept, cmsgpack.unpack(ARGV[i]))
  if merged then -- under the same id, unless another partition was faster
    local entry = {cmsgpack.unpack(ARGV[i])}
    local id = after(entry[1], top) and entry[1] or '*'
    entry[#entry + 1], entry[#entry + 2] = 'id', entry[1]
    top = redis.call('XADD', merged, 'MAXLEN', '~', forecasts_kept, id, unpack(entry, 2))
  end
end
-- 6. The dead letters.
local i = at_letters + 1
local count = tonumber(ARGV[at_letters])
for k = 1, count do
  local id, width = ARGV[i], tonumber(ARGV[i + 1])
  add(dead, k == count and dead_kept, id, unpack(ARGV, i + 2, i + 1 + width))
  i = i + 2 + width
end
-- 7. The events.
i = at_events + 1
count = tonumber(ARGV[at_events])
for k = 1, count do
  local width = tonumber(ARGV[i])
  add(events, k == count and events_kept, '*', unpack(ARGV, i + 1, i + width))
  i = i + 1 + width
end
-- 8. The changed states, 64 at a time: a thousand together take half as much time again, as the caches are too small.
for i = at_states, #ARGV, 128 do
  redis.call('HSET', state, unpack(ARGV, i, math.min(i + 127, #ARGV)))
end
-- 9. The new offset and the counts.
local written = {'last', to}
for j = at_counts + 1, at_letters - 1, 2 do
  written[#written + 1], written[#written + 2] = ARGV[j], string.format('%.0f', sums[ARGV[j]])
end
redis.call('HSET', offset, unpack(written))
-- 10. Move the passive group, which shows the lag; nothing depends on the group, so this may fail.
local moved = redis.pcall('XGROUP', 'SETID', readings, group, to, 'ENTRIESREAD', sums.read - sums.before)
if moved.err then moved = redis.pcall('XGROUP', 'SETID', readings, group, to) end
if moved.err then redis.pcall('XGROUP', 'CREATE', readings, group, to) end -- it was deleted together with a stream
return 'COMMITTED'
