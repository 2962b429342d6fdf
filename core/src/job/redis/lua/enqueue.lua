-- Takes jobs in. ARGV from 4: for each id, blob, and what is not as usual: '' or JSON
-- with priority, run_at, delay, key, held_for and group. Gives for each '' when it was
-- taken in, 'duplicate:ID', 'large:LIMIT' or 'full:LIMIT'; nothing if all were.
local COUNT = 3
local all_taken = true
local created = base36(now)
local answers, jobs, ready, line, delayed = {}, {}, {}, {}, {}
-- Keys and who has them since this call: written once their jobs are.
local held_now, keys_held = {}, {}
local ids = {}
for i = 4, #ARGV, COUNT do ids[#ids + 1] = ARGV[i] end
local there, left = {}, {}
for first = 1, #ids, 1000 do
  local last = math.min(first + 999, #ids)
  local keys = { unpack(ids, first, last) }
  local found = redis.call('HMGET', key('job'), unpack(keys))
  for n, value in ipairs(found) do
    if value then there[keys[n]] = true end
  end
  -- The entry that one of these left in the line must not give it its old place.
  if meta.gone > 0 then
    for n, is_left in ipairs(redis.call('SMISMEMBER', key('left'), unpack(keys))) do
      left[keys[n]] = is_left == 1
    end
  end
end

local function holder(name)
  if held_now[name] then return held_now[name] end
  local held = redis.call('HGET', key('unique'), name)
  if not held then return end
  local live, until_ms, by = string.match(held, '^(%d)|(%-?%d+)|(.*)$')
  if live == '1' or tonumber(until_ms) > now then return by end
end

for i = 4, #ARGV, COUNT do
  local id, blob, more = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  more = more ~= '' and cjson.decode(more)
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
    local by = more and more.key and holder(more.key)
    if by then
      answer = 'duplicate:' .. by
    else
      answer = ''
      there[id] = true
      meta.bytes = meta.bytes + size
      if more and more.key then
        held_now[more.key] = id
        keys_held[#keys_held + 1] = more.key
        keys_held[#keys_held + 1] = '1|' .. whole(later(more.held_for or 0)) .. '|' .. id
      end
      local n = #jobs
      jobs[n + 1], jobs[n + 2] = id, created .. blob
      if more and more.deadline then redis.call('ZADD', key('deadline'), whole(more.deadline), id) end
      local due = more and (more.run_at and math.min(more.run_at, FAR) or more.delay and later(more.delay))
      if due and due > now then
        delayed[#delayed + 1] = { id, new_run(created .. blob), due }
      else
        if left[id] or more and (more.priority or more.group) then
          if left[id] then save(id, new_run(created .. blob)) end
          ready[#ready + 1] = whole(place(more and more.priority or 0, more and more.group or ''))
          ready[#ready + 1] = id
        else
          line[#line + 1] = entry(id)
        end
        tell(id, 'waiting')
        rung = true
      end
    end
  end
  all_taken = all_taken and answer == ''
  answers[#answers + 1] = answer
end
many('HSET', key('job'), jobs, 2)
many('HSET', key('unique'), keys_held, 2)
for _, one in ipairs(delayed) do delay(unpack(one)) end
many('ZADD', key('ready'), ready, 2)
many('RPUSH', key('line'), line, 1)
flush()
return all_taken and {} or answers
