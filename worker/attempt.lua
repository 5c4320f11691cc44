-- Write down that readings are about to be handled where a worker may have died of them: what never came to its commit
-- is tried again in halves, down to a single reading.
--
-- KEYS: lease   ARGV: epoch, from, size
-- Returns how many readings may be handled at once, and the how manieth try of that size this is.
local lease, epoch, from, size = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HGET', lease, 'epoch') ~= epoch then
  return redis.error_reply('FENCED another worker holds the partition')
end
local at, tried, tries = unpack(redis.call('HMGET', lease, 'tried_from', 'tried_size', 'tries'))
local try = 1
if at == from then
  tried = tonumber(tried)
  if tried > 1 then
    size = math.min(size, math.floor(tried / 2))
  else
    size, try = 1, tonumber(tries) + 1
  end
end
redis.call('HSET', lease, 'tried_from', from, 'tried_size', size, 'tries', try)
return {size, try}
