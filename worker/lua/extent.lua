-- Return where a stream begins and ends, without the contents of its first and last entry, which XINFO would send.
--
-- KEYS: stream
-- Returns nil if the stream does not exist; else names and values as in XINFO STREAM, entries without their fields.
if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
local wanted = {['length'] = true, ['last-generated-id'] = true, ['entries-added'] = true}
local extent = {}
for i = 1, #info, 2 do
  local name, value = info[i], info[i + 1]
  if wanted[name] then
    extent[#extent + 1] = name
    extent[#extent + 1] = value
  elseif (name == 'first-entry' or name == 'last-entry') and value then
    extent[#extent + 1] = name
    extent[#extent + 1] = {value[1]}
  end
end
return extent
