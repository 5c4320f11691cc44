-- Functions that are prepended to the scripts that compare entry ids.

-- Entry ids are pairs of 64-bit numbers, which a Lua number cannot hold exactly: compare them as text.
local function after(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then
    return #a_ms > #b_ms or (#a_ms == #b_ms and a_ms > b_ms)
  end
  return #a_seq > #b_seq or (#a_seq == #b_seq and a_seq > b_seq)
end

-- Convert a flat list of names and values, as XINFO returns it, to a table.
local function named(list)
  local values = {}
  for i = 1, #list, 2 do values[list[i]] = list[i + 1] end
  return values
end

-- Return the highest id that a stream has ever had.
local function newest(stream)
  if redis.call('EXISTS', stream) == 0 then return '0-0' end
  return named(redis.call('XINFO', 'STREAM', stream))['last-generated-id']
end

-- Return whether a stream has ids for fewer than a million other entries: XADD fails after the highest one.
local function is_full(stream)
  return string.match(newest(stream), '^18446744073709551615%-18446744073709%d%d%d%d%d%d$') ~= nil
end

