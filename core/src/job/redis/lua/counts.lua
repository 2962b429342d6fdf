-- Counts the queue's jobs. Gives waiting, delayed, running, completed, failed,
-- cancelled, bytes, the age of the next job or -1, and whether it is paused.
admit(100)
local function count(name) return redis.call('ZCARD', key(name)) end
local age = -1
local head = redis.call('ZRANGE', key('ready'), 0, 0)
if head[1] then
  local run = run_of(head[1])
  if run then age = math.max(0, now - run[RUN_AT]) end
end
flush()
return { count('ready') + count('parked'), count('delayed'), count('lease'), count('completed'),
  count('failed'), count('cancelled'), meta.bytes, age, meta.paused or 0 }
