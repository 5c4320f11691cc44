-- Record that readings are about to be handled where a worker may have died because of them. A batch that was never
-- committed is retried in halves, down to a single reading.
--
-- KEYS: lease   ARGV: epoch, from, size, pause_before
-- Returns how many readings may be handled at once, and the number of the try at that size. A size of 0 deletes the
-- record: the readings were handled. Before try number pause_before of a single reading, nothing is recorded and the
-- try is 0: the worker pauses first, and if it dies during the pause, the reading is not the cause.
local lease, epoch, from, size = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HGET', lease, 'epoch') ~= epoch then
  return redis.error_reply('FENCED another worker holds the partition, or its lease was deleted')
end
if size == 0 then
  redis.call('HDEL', lease, 'tried_by', 'tried_from', 'tried_size', 'tries')
  return {0, 0}
end
local function whole(text) -- nil if the text is not a whole number
  return text and string.match(text, '^%d+$') and #text <= 15 and tonumber(text) or nil
end
local by, at, tried, tries = unpack(redis.call('HMGET', lease, 'tried_by', 'tried_from', 'tried_size', 'tries'))
local try = 1
tried, tries = whole(tried), whole(tries)
if at == from and tried and tries then
  if by == epoch then -- nobody died: the reply was lost, or Redis refused what came next
    size, try = math.min(size, tried), tries
  elseif tried > 1 then
    size = math.min(size, math.floor(tried / 2))
  else
    size, try = 1, tries + 1
    if try == tonumber(ARGV[4]) then return {1, 0} end
  end
end
redis.call('HSET', lease, 'tried_by', epoch, 'tried_from', from, 'tried_size', size, 'tries', try)
return {size, try}
