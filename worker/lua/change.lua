-- Delete or rename series: change their states and mutes, write the events and remove the order, atomically.
--
-- KEYS: lease, state, events, orders, muted, orders of another partition, changed
-- ARGV: epoch, order (empty: the worker changes the series by itself), events_kept, handed (the order for that other
--       partition, or empty), left (the order with what is left to do, or empty), then lists, each after its length:
--       fields of `state` to delete..., series (old name, new name or empty)..., events (n, field, value, ...)...;
--       then fields of `state` to write (name, value)... up to the end, without a length.
-- Returns 1, or 0 if the order is gone: it was carried out, and the reply was lost.
local lease, state, events, orders, muted, others, changed = unpack(KEYS)
local epoch, order, events_kept, handed, left = unpack(ARGV, 1, 5)
if redis.call('HGET', lease, 'epoch') ~= epoch then
  return redis.error_reply('FENCED another worker holds the partition, or its lease was deleted')
end
local kinds = {[state] = 'hash', [events] = 'stream', [orders] = 'hash', [muted] = 'hash', [others] = 'hash'}
kinds[changed] = 'set'
for key, kind in pairs(kinds) do
  local stored_type = redis.call('TYPE', key).ok
  if stored_type ~= 'none' and stored_type ~= kind then
    return redis.error_reply('WRONGKEY ' .. key .. ' is not a ' .. kind)
  end
end
if is_full(events) then
  return redis.error_reply('WRONGKEY ' .. events .. ' holds the highest ids there are, so it takes no other entry')
end
if order ~= '' and not redis.call('HGET', orders, order) then return 0 end
-- A command that the user may not call fails: these need the same rights as those below, and change nothing yet.
redis.call('HSET', lease, 'epoch', epoch)
redis.call('HDEL', lease, '')
local i = 7 + ARGV[6]
local series = i + 1
local named_to = i + 2 * ARGV[i]
i = named_to + 2
for _ = 1, ARGV[named_to + 1] do i = i + 1 + ARGV[i] end
local written = i -- the place of the first field to write
if redis.call('EXISTS', changed) == 1 then -- a repartition copies the states
  for j = 7, 6 + ARGV[6] do redis.call('SADD', changed, ARGV[j]) end
  for j = written, #ARGV, 2 do redis.call('SADD', changed, ARGV[j]) end
end
-- The events first: if the stream takes no entry, nothing is written.
i = named_to + 2
while i < written do
  redis.call('XADD', events, 'MAXLEN', events_kept, '*', unpack(ARGV, i + 1, i + ARGV[i]))
  i = i + 1 + ARGV[i]
end
local function in_parts(command, key, first, stop) -- parts that fit on the Lua stack
  while first <= stop do
    local last = math.min(first + 3999, stop)
    redis.call(command, key, unpack(ARGV, first, last))
    first = last + 1
  end
end
in_parts('HDEL', state, 7, 6 + ARGV[6])
for j = series, named_to, 2 do
  local old, new = ARGV[j], ARGV[j + 1]
  local mute = redis.call('HGET', muted, old)
  if new ~= '' then redis.call('HDEL', muted, new) end
  if mute and new ~= '' then redis.call('HSET', muted, new, mute) end
  if mute then redis.call('HDEL', muted, old) end
end
in_parts('HSET', state, written, #ARGV)
if handed ~= '' then redis.call('HSET', others, order, handed) end
if left ~= '' then
  redis.call('HSET', orders, order, left)
elseif order ~= '' then
  redis.call('HDEL', orders, order)
end
return 1
