-- Begin a copy: empty a new partition, unless it is open.
--
-- KEYS: offset, state, muted, orders, retrain   ARGV: copy
if redis.call('HGET', KEYS[1], 'last') then return 0 end
redis.call('DEL', unpack(KEYS))
redis.call('HSET', KEYS[1], 'copy', ARGV[1], 'written', 0)
return 1
