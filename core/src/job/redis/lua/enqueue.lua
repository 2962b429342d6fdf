-- Takes jobs in. ARGV from 4: for each id, blob, priority, due ('' for at once), unique
-- key, how long it is held, group, and the payload's size. Gives for each '' when it
-- was taken in, 'duplicate:ID', 'large:LIMIT' or 'full:LIMIT'.
local COUNT = 8
local answers, jobs, ready = {}, {}, {}
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
  local id, blob, priority, due, name, held_for, group, size =
    unpack(ARGV, i, i + COUNT - 1)
  size = tonumber(size)
  local answer
  if there[id] then
    answer = 'duplicate:' .. id
  elseif size > meta.max_payload then
    answer = 'large:' .. string.format('%.0f', meta.max_payload)
  elseif meta.bytes + size > meta.max_bytes then
    answer = 'full:' .. string.format('%.0f', meta.max_bytes)
  else
    local by = name ~= '' and holder(name)
    if by then
      answer = 'duplicate:' .. by
    else
      answer = ''
      there[id] = true
      meta.bytes = meta.bytes + size
      if name ~= '' then
        redis.call('HSET', key('unique'), name,
          string.format('1|%.0f|%s', now + tonumber(held_for), id))
      end
      blob = base36(now) .. blob
      jobs[#jobs + 1] = id
      jobs[#jobs + 1] = blob
      local at = tonumber(due ~= '' and due or 0)
      if string.sub(due, 1, 1) == '+' then at = now + tonumber(string.sub(due, 2)) end
      if at > now then
        local run = new_run(blob)
        delay(id, run, at)
      else
        if group == '' then group = false end
        ready[#ready + 1] = place(tonumber(priority), group)
        ready[#ready + 1] = id
        tell(id, 'waiting')
        rung = true
      end
    end
  end
  answers[#answers + 1] = answer
end
many('HSET', key('job'), jobs, 2)
many('ZADD', key('ready'), ready, 2)
flush()
return answers
