-- Takes a role or keeps it. KEYS[1] is the hash of roles; ARGV: role, holder, for how many
-- milliseconds, and the time ('' for the server's own). Gives 1 if it is the holder's now.
-- Held by `until|holder`: a holder that has a clock of its own cannot take it early.
local time = redis.call('TIME')
local now = ARGV[4] ~= '' and tonumber(ARGV[4]) or time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then
  local till, by = string.match(held, '^(%d+)|(.*)$')
  if by ~= ARGV[2] and tonumber(till) > now then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f|%s', now + tonumber(ARGV[3]), ARGV[2]))
return 1
