-- Delete entries of a stream, and note in the order what is left to search.
--
-- KEYS: lease, orders, stream   ARGV: epoch, order, the order as it is now (empty: it is done), ids...
-- Ids that are gone are left out, so a repeated call changes nothing.
local lease, orders, stream = unpack(KEYS)
local epoch, order, left = unpack(ARGV, 1, 3)
if redis.call('HGET', lease, 'epoch') ~= epoch then
  return redis.error_reply('FENCED another worker holds the partition, or its lease was deleted')
end
if #ARGV > 3 then redis.call('XDEL', stream, unpack(ARGV, 4)) end
if left == '' then
  redis.call('HDEL', orders, order)
elseif redis.call('HEXISTS', orders, order) == 1 then
  redis.call('HSET', orders, order, left)
end
return 1
