-- Replaces a field of a hash if it still is what it was. KEYS[1] is the hash; ARGV: the
-- field, what it was, what it is to be. Gives 1 if it was.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
