-- Takes jobs in. ARGV from 4: for each id, blob, and what is not as usual: '' or JSON
-- with priority, run_at, delay, key, held_for and group. Gives for each '' when it was
-- taken in, 'duplicate:ID', 'large:LIMIT' or 'full:LIMIT'.
local COUNT = 3
local USUALLY = {}
local created = base36(now)
local answers, jobs, ready, line = {}, {}, {}, {}
local ids = {}
for i = 4, #ARGV, COUNT do ids[#ids + 1] = ARGV[i] end
local there = {}
for first = 1, #ids, 1000 do
  local last = math.min(first + 999, #ids)
  local keys = { unpack(ids, first, last) }
  local found = redis.call('HMGET', key('job'), unpack(keys))
  for n, value in ipairs(found) do
    if value then there[keys[n]] = true end
  end
end

local function holder(name)
  local held = redis.call('HGET', key('unique'), name)
  if not held then return end
  local live, until_ms, by = string.match(held, '^(%d)|(%d+)|(.*)$')
  if live == '1' or tonumber(until_ms) > now then return by end
end

for i = 4, #ARGV, COUNT do
  local id, blob, more = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  more = more == '' and USUALLY or cjson.decode(more)
  -- Without the digits that go before it.
  local size = #blob - string.find(blob, '\n', 1, true)
  local answer
  if there[id] then
    answer = 'duplicate:' .. id
  elseif size > meta.max_payload then
    answer = 'large:' .. whole(meta.max_payload)
  elseif meta.bytes + size > meta.max_bytes then
    answer = 'full:' .. whole(meta.max_bytes)
  else
    local by = more.key and holder(more.key)
    if by then
      answer = 'duplicate:' .. by
    else
      answer = ''
      there[id] = true
      meta.bytes = meta.bytes + size
      if more.key then
        redis.call('HSET', key('unique'), more.key, '1|' .. whole(now + (more.held_for or 0)) .. '|' .. id)
      end
      jobs[#jobs + 1] = id
      jobs[#jobs + 1] = created .. blob
      if more.deadline then redis.call('ZADD', key('deadline'), whole(more.deadline), id) end
      local due = more.run_at or more.delay and now + more.delay or 0
      if due > now then
        delay(id, new_run(created .. blob), due)
      else
        if more.priority or more.group then
          ready[#ready + 1] = whole(place(more.priority or 0, more.group or ''))
          ready[#ready + 1] = id
        else
          line[#line + 1] = entry(id)
        end
        tell(id, 'waiting')
        rung = true
      end
    end
  end
  answers[#answers + 1] = answer
end
many('HSET', key('job'), jobs, 2)
many('ZADD', key('ready'), ready, 2)
many('RPUSH', key('line'), line, 1)
flush()
return answers
