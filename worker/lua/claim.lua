-- Claim a due run of the schedule, or an abandoned one; uses the server's clock.
--
-- KEYS: retrain, events   ARGV: due_ms, token, owner, ttl_ms, events_kept, detail
-- If a run has started and not ended, only that run can be claimed: by another owner once the claim has expired, by the
-- same owner at once. The token identifies a claim; if the same token comes again, a reply was lost. `{try}` in the
-- detail is replaced by the number of the try.
-- Returns {try, 0} on success. Returns {0, ms} if another owner holds the run for this long, and {0, 0} if another run
-- is due. If the end of a claim is later than ttl_ms from now, or is not a number, it is set to ttl_ms from now, and
-- the old end is returned too.
local record, events = unpack(KEYS)
local due, token, owner, ttl_ms, events_kept, detail = unpack(ARGV)
for key, kind in pairs({[record] = 'hash', [events] = 'stream'}) do
  local stored_type = redis.call('TYPE', key).ok
  if stored_type ~= 'none' and stored_type ~= kind then
    return redis.error_reply('WRONGKEY ' .. key .. ' is not a ' .. kind)
  end
end
local function whole(text) -- nil if the text is not a whole number
  return text and string.match(text, '^%d+$') and #text <= 15 and tonumber(text) or nil
end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local fields = {'state', 'due_ms', 'next_ms', 'tries', 'owner', 'token', 'expires_ms'}
local state, begun, next_ms, tries, by, held, expires = unpack(redis.call('HMGET', record, unpack(fields)))
local try = 1
if state == 'running' or state == 'waiting' then
  if due ~= begun then return {0, 0} end
  if state == 'running' and held == token then return {whole(tries) or 1, 0} end
  if state == 'running' and by ~= owner then
    local left = (whole(expires) or math.huge) - now
    if left > tonumber(ttl_ms) then
      redis.call('HSET', record, 'expires_ms', now + ttl_ms)
      return {0, tonumber(ttl_ms), expires or ''}
    end
    if left > 0 then return {0, left} end
  end
  try = (whole(tries) or 0) + 1
elseif due ~= next_ms then
  return {0, 0}
end
detail = string.gsub(detail, '{try}', try)
-- The event first: if the stream takes no entry, nothing is written. Nor if the user may not call HSET.
if next_ms then redis.call('HSET', record, 'next_ms', next_ms) end
redis.call('XADD', events, 'MAXLEN', events_kept, '*', 'kind', 'started', 'detail', detail)
redis.call('HSET', record, 'state', 'running', 'due_ms', due, 'tries', try, 'owner', owner, 'token', token,
  'expires_ms', now + ttl_ms, 'started_ms', now)
return {try, 0}
