-- Counts the queue's jobs. Gives waiting, delayed, running, completed, failed,
-- cancelled, bytes, the age of the next job or -1, and whether it is paused.
admit(100)
local function count(name) return redis.call('ZCARD', key(name)) end
local ages = {}
local function note(id)
  local run = id and run_of(id)
  if run then ages[#ages + 1] = math.max(0, now - run[RUN_AT]) end
end
note(redis.call('ZRANGE', key('ready'), 0, 0)[1])
-- What was left behind in the line is of no age; others come soon.
for _ = 1, 100 do
  local first = redis.call('LINDEX', key('line'), 0)
  local id = first and string.match(first, '^%d+|(.*)$')
  if not id then break end
  if redis.call('HEXISTS', key('job'), id) == 1 and redis.call('HEXISTS', key('run'), id) == 0 then
    note(id)
    break
  end
  redis.call('LPOP', key('line'))
  met({ id })
end
local age = #ages > 0 and math.max(unpack(ages)) or -1
flush()
return { ready_count() + count('parked'), count('delayed'), running_count(), count('completed'),
  count('failed'), count('cancelled'), meta.bytes, age, meta.paused or 0 }
