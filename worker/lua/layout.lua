-- Begin the next generation of partitions, if the layout is still the one that was read.
--
-- KEYS: partitions   ARGV: the layout that was read, the next one
-- Returns 1, or 0 if the layout has changed.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
