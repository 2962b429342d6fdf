-- Says that a worker is there. KEYS[1] is the hash of workers; ARGV: its key, what it tells
-- as JSON, and the time ('' for the server's own), which is kept in front: `seen|JSON`.
local time = redis.call('TIME')
local now = ARGV[3] ~= '' and tonumber(ARGV[3]) or time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f|', now) .. ARGV[2])
return 1
