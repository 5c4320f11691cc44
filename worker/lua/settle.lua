-- Store how a claimed run has ended, and what comes next. If the same token comes again, a reply was lost.
--
-- KEYS: retrain, events   ARGV: token, outcome, at_ms, events_kept, detail
-- Outcomes: finished and failed: the run has ended, the next due time is at_ms. again: this try has failed, the next
-- try of the same run is at at_ms. released: the run is given back, and the try does not count.
-- Returns 1, or 0 if the claim was lost.
local record, events = unpack(KEYS)
local token, outcome, at_ms, events_kept, detail = unpack(ARGV)
local state, held, runs, tries = unpack(redis.call('HMGET', record, 'state', 'token', 'runs', 'tries'))
if held ~= token then return 0 end
if state ~= 'running' then return 1 end
local function whole(text) -- 0 if the text is not a whole number
  return text and string.match(text, '^%d+$') and #text <= 15 and tonumber(text) or 0
end
-- A command that the user may not call fails: these need the same rights as those below, and change nothing yet.
redis.call('HSET', record, 'token', token)
redis.call('HDEL', record, '')
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
if outcome == 'finished' or outcome == 'failed' then
  -- The event first: if the stream takes no entry, nothing is written.
  redis.call('XADD', events, 'MAXLEN', events_kept, '*', 'kind', outcome, 'detail', detail)
  redis.call('HSET', record, 'state', outcome, 'next_ms', at_ms, 'ended_ms', now, 'detail', detail,
    'runs', whole(runs) + 1)
  redis.call('HDEL', record, 'owner', 'expires_ms', 'retry_ms')
else
  redis.call('HSET', record, 'state', 'waiting', 'retry_ms', at_ms, 'detail', detail)
  if outcome == 'released' then redis.call('HSET', record, 'tries', math.max(0, whole(tries) - 1)) end
  redis.call('HDEL', record, 'owner', 'expires_ms')
end
return 1
