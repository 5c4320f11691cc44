-- Store how a claimed run has ended, and what comes next. If the same token comes again, a reply was lost.
--
-- KEYS: retrain, events   ARGV: token, outcome, at_ms, events_kept, detail
-- Outcomes: finished and failed: the run has ended, the next due time is at_ms. again: this try has failed, the next
-- try of the same run is at at_ms. released: the run is given back, and the try does not count.
-- Returns 1, or 0 if the claim was lost.
local record, events = unpack(KEYS)
local token, outcome, at_ms, events_kept, detail = unpack(ARGV)
local state, held, due = unpack(redis.call('HMGET', record, 'state', 'token', 'due_ms'))
if held ~= token then return 0 end
if state ~= 'running' then return 1 end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
if outcome == 'finished' or outcome == 'failed' then
  redis.call('HSET', record, 'state', outcome, 'next_ms', at_ms, 'ended_ms', now, 'detail', detail)
  local runs = redis.call('HGET', record, 'runs')
  if runs and not (string.match(runs, '^%d+$') and #runs <= 15) then -- it is not a whole number
    redis.call('HSET', record, 'runs', 0)
  end
  redis.call('HINCRBY', record, 'runs', 1)
  redis.call('HDEL', record, 'owner', 'expires_ms', 'retry_ms')
  redis.call('XADD', events, 'MAXLEN', events_kept, '*', 'kind', outcome, 'detail', detail)
else
  redis.call('HSET', record, 'state', 'waiting', 'retry_ms', at_ms, 'detail', detail)
  if outcome == 'released' then redis.call('HINCRBY', record, 'tries', -1) end
  redis.call('HDEL', record, 'owner', 'expires_ms')
end
return 1
