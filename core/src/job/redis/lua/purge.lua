-- Drops jobs that have ended. ARGV from 4: the state's name, the time before which it
-- ended, where to begin, how many to look at. Gives how many were looked at and dropped.
local first = tonumber(ARGV[6])
local ids = redis.call('ZRANGE', key(ARGV[4]), first, first + tonumber(ARGV[7]) - 1)
local dropped = 0
for _, id in ipairs(ids) do
  local run = run_of(id)
  if run and run[FINISHED] <= tonumber(ARGV[5]) then
    redis.call('ZREM', key(ARGV[4]), id)
    forget(id, run)
    dropped = dropped + 1
  end
end
flush()
return { #ids, dropped }
