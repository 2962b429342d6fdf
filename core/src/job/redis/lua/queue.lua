-- One queue: what all scripts share. KEYS[1] is the queue's public list, ARGV[1] the
-- prefix of its other keys, ARGV[2] the time in milliseconds ('' for the server's own),
-- ARGV[3] '1' to tell of events whether or not somebody follows here.
--
-- A job's `run` record is there once it is more than waiting for the first time: the
-- fields below, packed by `FORM`. 0 and '' stand for what is not there.
local FORM = '>BBBhI4I4I4I4dddddI4ddsss'
local STATE, CANCEL, NOTES, PRIORITY, EPOCH, ATTEMPT, STALLS, MAX_STALLS = 1, 2, 3, 4, 5, 6, 7, 8
local RUN_AT, STARTED, FINISHED, SCORE, SEQUENCE = 9, 10, 11, 12, 13
local SIZE, TTL, DEADLINE, WORKER, GROUP, KEY = 14, 15, 16, 17, 18, 19
-- The notes on a job: 1 if it has news of attempts, and 2 if it has a webhook.
local REPORTED, HOOKED = 1, 2
local WAITING, DELAYED, RUNNING, COMPLETED, FAILED, CANCELLED = 1, 2, 3, 4, 5, 6
local NAMES = { 'waiting', 'delayed', 'running', 'completed', 'failed', 'cancelled' }
local LIST, P = KEYS[1], ARGV[1]
local LEVEL = 8796093022208 -- 2^43: what one priority is worth in a score.
local HOUR = 3600000

local function key(name) return P .. name end

local now, now_us
if ARGV[2] ~= '' then
  now = tonumber(ARGV[2])
  now_us = now * 1000
else
  local time = redis.call('TIME')
  now_us = time[1] * 1000000 + time[2]
  now = math.floor(now_us / 1000)
end

-- The queue's own numbers: read once, written once by `flush`.
local FIELDS = { 'sequence', 'served', 'last', 'bytes', 'arrival', 'paused', 'concurrency',
  'group_concurrency', 'rate_gap', 'rate_window', 'max_bytes', 'max_payload', 'keep_failed',
  'failed_ttl', 'keep_finished' }
local USUAL = { sequence = 0, served = 0, last = 0, bytes = 0, arrival = 0, max_bytes = 1073741824,
  max_payload = 16777216, keep_failed = 10000, failed_ttl = 2592000000, keep_finished = 1000000 }
local meta = {}
do
  local values = redis.call('HMGET', key('meta'), unpack(FIELDS))
  for i, name in ipairs(FIELDS) do
    meta[name] = tonumber(values[i] or false) or USUAL[name]
  end
end
local before = { meta.sequence, meta.served, meta.last, meta.bytes, meta.arrival }

local events, rung = {}, false
local followed = ARGV[3] == '1' or redis.call('PUBSUB', 'NUMPAT') > 0

local function tell(id, event, more)
  if followed then
    local told = more or {}
    told.at, told.id, told.event = now, id, event
    events[#events + 1] = told
  end
end

-- Sends a command with many arguments in bounded pieces of whole records.
local function many(command, name, list, record)
  local step = 1000 * record
  for first = 1, #list, step do
    redis.call(command, name, unpack(list, first, math.min(first + step - 1, #list)))
  end
end

-- What is to be written at the end, so that a batch costs few commands.
local out = { lease = {}, job = {}, run = {}, runs = {}, err = {}, res = {}, prog = {} }

local function save(id, run)
  local list = out.runs
  list[#list + 1] = id
  list[#list + 1] = struct.pack(FORM, unpack(run, 1, KEY))
end

local function unpacked(packed) return { struct.unpack(FORM, packed) } end

local groups = {}

local function group_of(name)
  local group = groups[name]
  if not group then
    local text = redis.call('HGET', key('groups'), name)
    group = { last = 0, running = 0, parked = 0 }
    if text then
      local last, running, parked = string.match(text, '^(%d+)|(%d+)|(%d+)$')
      group.last, group.running, group.parked = tonumber(last), tonumber(running), tonumber(parked)
    end
    groups[name] = group
  end
  return group
end

local function write_pending()
  many('ZREM', key('lease'), out.lease, 1)
  many('HDEL', key('job'), out.job, 1)
  many('HSET', key('run'), out.runs, 2)
  many('HDEL', key('run'), out.run, 1)
  many('HDEL', key('err'), out.err, 1)
  many('HDEL', key('res'), out.res, 1)
  many('HDEL', key('prog'), out.prog, 1)
  out = { lease = {}, job = {}, run = {}, runs = {}, err = {}, res = {}, prog = {} }
end

local function flush()
  write_pending()
  local changed = {}
  for i = 1, 5 do
    local name = FIELDS[i]
    if meta[name] ~= before[i] then
      changed[#changed + 1] = name
      changed[#changed + 1] = string.format('%.0f', meta[name])
    end
  end
  if #changed > 0 then redis.call('HSET', key('meta'), unpack(changed)) end
  for name, group in pairs(groups) do
    -- Tenants come and go: what nobody needs is not kept.
    if group.running == 0 and group.parked == 0 and group.last <= meta.served then
      redis.call('HDEL', key('groups'), name)
    else
      redis.call('HSET', key('groups'), name,
        string.format('%.0f|%d|%d', group.last, group.running, group.parked))
    end
  end
  if rung and redis.call('LLEN', LIST) == 0 then redis.call('LPUSH', LIST, '') end
  if #events > 0 then redis.call('PUBLISH', key('events'), cjson.encode(events)) end
end

local function base36(number)
  local text = ''
  for _ = 1, 8 do
    local digit = number % 36
    text = string.char(digit < 10 and 48 + digit or 87 + digit) .. text
    number = math.floor(number / 36)
  end
  return text
end

-- A place in the line. Groups take turns by their tags; see memory/fair.rs.
local function place(priority, name)
  local tag
  if name ~= '' then
    local group = group_of(name)
    group.last = math.max(group.last, meta.served) + 1
    tag = group.last
  else
    meta.last = math.max(meta.last, meta.served) + 1
    tag = meta.last
  end
  return tag - priority * LEVEL
end

local function next_sequence()
  meta.sequence = meta.sequence + 1
  return meta.sequence
end

-- Jobs of one millisecond are promoted in the order of their sequence.
local function delayed_member(run, id) return string.format('%012x', run[SEQUENCE]) .. id end

-- Integers as text: numbers among a command's arguments are slow, and lose digits.
local function whole(number) return string.format('%d', number) end

-- A blob is when the job was taken in (8 digits to the base of 36), what was asked for
-- but the payload, as JSON, and behind a line feed the payload.
local USUAL_HEADER = {}

local function header_of(blob)
  local at = string.find(blob, '\n', 9, true)
  local size = #blob - at
  if at == 11 then return USUAL_HEADER, size end
  -- The one setting that most have who have any.
  local ttl = string.match(blob, '^{"result_ttl_ms":(%d+)}\n', 9)
  if ttl then return { result_ttl_ms = tonumber(ttl) }, size end
  return cjson.decode(string.sub(blob, 9, at - 1)), size
end

local function created_of(blob) return tonumber(string.sub(blob, 1, 8), 36) end

local function new_run(blob)
  local header, size = header_of(blob)
  return { WAITING, 0, header.webhook and HOOKED or 0, header.priority or 0, 0, 0, 0, header.max_stalls or 3,
    created_of(blob), 0, 0, 0, 0, size, header.result_ttl_ms or HOUR, header.deadline or 0,
    '', header.group or '', header.unique_key or '' }
end

local function run_of(id)
  local packed = redis.call('HGET', key('run'), id)
  if packed then return unpacked(packed) end
  local blob = redis.call('HGET', key('job'), id)
  if blob then
    local run = new_run(blob)
    run[SCORE] = tonumber(redis.call('ZSCORE', key('ready'), id)
      or redis.call('ZSCORE', key('parked'), id) or 0)
    return run
  end
end

local function line_up(id, run)
  run[STATE] = WAITING
  run[SCORE] = place(run[PRIORITY], run[GROUP])
  redis.call('ZADD', key('ready'), whole(run[SCORE]), id)
  tell(id, 'waiting')
  rung = true
end

-- The next of a group that waits aside goes back to the line.
local function call_back(run, group)
  if group.parked > 0 then
    local popped = redis.call('ZPOPMIN', key('parked:' .. run[GROUP]))
    if popped[1] then
      group.parked = group.parked - 1
      redis.call('ZREM', key('parked'), popped[1])
      redis.call('ZADD', key('ready'), popped[2], popped[1])
      rung = true
    end
  end
end

-- One of the group's jobs runs no more.
local function leave(run)
  if run[GROUP] == '' then return end
  local group = group_of(run[GROUP])
  group.running = math.max(0, group.running - 1)
  call_back(run, group)
end

-- One that was in the line goes unrun: nobody else would call the next in its place.
local function make_way(run)
  if run[GROUP] == '' then return end
  local group = group_of(run[GROUP])
  if not meta.group_concurrency or group.running < meta.group_concurrency then
    call_back(run, group)
  end
end

local function stop_running(id, run)
  out.lease[#out.lease + 1] = id
  leave(run)
end

-- Takes a waiting or delayed job out of where it waits.
local function step_out(id, run)
  if run[STATE] == DELAYED then
    redis.call('ZREM', key('delayed'), delayed_member(run, id))
  elseif redis.call('ZREM', key('ready'), id) == 1 then
    make_way(run)
  elseif run[GROUP] ~= '' then
    if redis.call('ZREM', key('parked:' .. run[GROUP]), id) == 1 then
      redis.call('ZREM', key('parked'), id)
      local group = group_of(run[GROUP])
      group.parked = group.parked - 1
    end
  end
end

local function free_key(id, run)
  if run[KEY] == '' then return end
  local held = redis.call('HGET', key('unique'), run[KEY])
  if not held then return end
  local live, until_ms, by = string.match(held, '^(%d)|(%d+)|(.*)$')
  if by ~= id then return end
  if tonumber(until_ms) > now then
    redis.call('HSET', key('unique'), run[KEY], '0|' .. until_ms .. '|' .. id)
    redis.call('ZADD', key('unique_until'), until_ms, run[KEY])
  else
    redis.call('HDEL', key('unique'), run[KEY])
  end
end

local function has_news(run) return run[NOTES] % 2 == REPORTED end

local function forget(id, run)
  out.job[#out.job + 1] = id
  out.run[#out.run + 1] = id
  -- What only later attempts, reports and ends leave behind.
  if run[EPOCH] ~= 1 or has_news(run) or run[STATE] ~= RUNNING then
    out.err[#out.err + 1] = id
    out.res[#out.res + 1] = id
    out.prog[#out.prog + 1] = id
  end
  if has_news(run) then redis.call('DEL', key('log:' .. id)) end
end

-- One with a webhook has ended: another job is to tell. As in webhook/mod.rs.
local DELIVERY = '{"kind":"credential-rotation.webhook","max_attempts":8,"retry":{"kind":"list","delays_ms":[5000,300000,1800000,7200000,18000000,36000000,36000000],"jitter":0.1},"timeout_ms":20000}'
local DELIVERED_ID_LIMIT = 150

local function deliver(id, run, state)
  local blob = redis.call('HGET', key('job'), id)
  if not blob or #id > DELIVERED_ID_LIMIT then return end
  local header = header_of(blob)
  local name = 'webhook:' .. id
  local more = { ':' .. whole(run[EPOCH]), ':' .. whole(now) }
  while redis.call('HEXISTS', key('job'), name) == 1 do
    if #more == 0 then return end
    name = name .. table.remove(more, 1)
  end
  local payload = '{"id":' .. cjson.encode(id) .. ',"queue":' .. cjson.encode(LIST)
    .. ',"kind":' .. cjson.encode(header.kind or LIST) .. ',"state":"' .. NAMES[state]
    .. '","ended_at":' .. whole(now) .. ',"url":' .. cjson.encode(header.webhook) .. '}'
  redis.call('HSET', key('job'), name, base36(now) .. DELIVERY .. '\n' .. payload)
  redis.call('ZADD', key('ready'), whole(place(0, '')), name)
  meta.bytes = meta.bytes + #payload
  tell(name, 'waiting')
  rung = true
end

local function finish(id, run, state)
  meta.bytes = meta.bytes - run[SIZE]
  free_key(id, run)
  tell(id, NAMES[state])
  if run[NOTES] >= HOOKED then deliver(id, run, state) end
  local kept = state == FAILED and meta.failed_ttl or run[TTL]
  if kept <= 0 then
    forget(id, run)
    return false
  end
  run[STATE], run[FINISHED] = state, now
  redis.call('ZADD', key(NAMES[state]), now + kept, id)
  save(id, run)
  return true
end

local function fail(id, run, state, kind, message)
  if finish(id, run, state) then
    redis.call('HSET', key('err'), id, cjson.encode({ kind = kind, message = message }))
  end
end

local function delay(id, run, due)
  run[STATE], run[RUN_AT], run[SEQUENCE] = DELAYED, due, next_sequence()
  redis.call('ZADD', key('delayed'), due, delayed_member(run, id))
  save(id, run)
  tell(id, 'delayed')
  rung = true
end

local function rate_room()
  local arrival = math.max(meta.arrival, now_us)
  local horizon = now_us + meta.rate_window
  local free = math.floor((horizon - arrival) / meta.rate_gap)
  if free > 0 then return free, 0 end
  return 0, arrival + meta.rate_gap - horizon
end

-- How many jobs the limits allow to begin now.
local function room_for(wanted)
  if meta.paused == 1 then return 0 end
  local room = wanted
  if room > 0 and meta.concurrency then
    room = math.min(room, meta.concurrency - redis.call('ZCARD', key('lease')))
  end
  if room > 0 and meta.rate_gap then room = math.min(room, (rate_room())) end
  return math.max(0, room)
end

-- Whoever takes a bell from the list rings again if there is work for another.
local function ring_for_others()
  rung = redis.call('ZCARD', key('ready')) > 0 and room_for(1) > 0
end

local function is_drained()
  return redis.call('ZCARD', key('lease')) == 0 and redis.call('ZCARD', key('ready')) == 0
    and redis.call('ZCARD', key('parked')) == 0
end

-- Jobs pushed by anyone to the public list. Ids are UTF-8 text: this leaves only what
-- is not.
local SEQUENCES = { '[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]',
  '[\225-\236\238\239][\128-\191][\128-\191]', '\237[\128-\159][\128-\191]',
  '\240[\144-\191][\128-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191][\128-\191]',
  '\244[\128-\143][\128-\191][\128-\191]' }

local function is_text(text)
  for _, pattern in ipairs(SEQUENCES) do text = string.gsub(text, pattern, '') end
  return not string.find(text, '[\128-\255]')
end

local function admit_one(text)
  local ok, value = pcall(cjson.decode, text)
  local id = ok and type(value) == 'table' and value.id
  if type(id) == 'number' and id == math.floor(id) and math.abs(id) < 9007199254740992 then
    id = string.format('%.0f', id)
  end
  if type(id) ~= 'string' or id == '' or #id > 200 or string.find(id, '%c') or not is_text(id) then
    id = 'pushed-' .. now .. '-' .. next_sequence()
  end
  local problem
  if not ok then
    problem = { 'bad_payload', 'what was pushed is no JSON' }
  elseif #text > meta.max_payload then
    problem = { 'bad_payload', 'what was pushed has ' .. #text .. ' bytes, the limit is ' .. meta.max_payload }
  end
  local there = redis.call('HGET', key('job'), id)
  if there then
    -- The same push again is the same job.
    if string.sub(there, -(#text + 1)) == '\n' .. text then return end
    problem = problem or { 'duplicate_id', 'a job of the id `' .. id .. '` with another payload was there' }
    id = 'pushed-' .. now .. '-' .. next_sequence()
  end
  -- The space tells claimants to look closer at what this decoder lets through.
  local blob = base36(now) .. '{ }\n' .. text
  redis.call('HSET', key('job'), id, blob)
  meta.bytes = meta.bytes + #text
  local run = new_run(blob)
  if problem then
    fail(id, run, FAILED, problem[1], problem[2])
    write_pending()
  else
    line_up(id, run)
  end
end

local function admit(most)
  local taken, admitted = 0, 0
  for _, list in ipairs({ key('inbox'), LIST }) do
    while taken < most do
      local text = redis.call('RPOP', list)
      if not text then break end
      taken = taken + 1
      -- A bell is no job.
      if text ~= '' then
        admit_one(text)
        admitted = admitted + 1
      end
    end
  end
  return admitted
end

local function promote(most)
  local due = redis.call('ZRANGEBYSCORE', key('delayed'), '-inf', now, 'LIMIT', 0, most)
  if #due == 0 then return 0 end
  many('ZREM', key('delayed'), due, 1)
  for _, member in ipairs(due) do
    local id = string.sub(member, 13)
    local run = run_of(id)
    if run then
      line_up(id, run)
      save(id, run)
    end
  end
  write_pending()
  return #due
end

local function reap(most)
  local lapsed = redis.call('ZRANGEBYSCORE', key('lease'), '-inf', '(' .. now, 'LIMIT', 0, most)
  for _, id in ipairs(lapsed) do
    local run = run_of(id)
    if run and run[STATE] == RUNNING then
      stop_running(id, run)
      run[STALLS] = run[STALLS] + 1
      run[ATTEMPT] = math.max(0, run[ATTEMPT] - 1)
      tell(id, 'stalled')
      if run[CANCEL] == 1 then
        finish(id, run, CANCELLED)
      elseif run[STALLS] > run[MAX_STALLS] then
        fail(id, run, FAILED, 'stalled', 'its lease ran out ' .. run[STALLS]
          .. ' times: workers died or were frozen while they had it')
      else
        run[STATE] = WAITING
        redis.call('ZADD', key('ready'), run[SCORE], id)
        save(id, run)
        tell(id, 'waiting')
        rung = true
      end
    else
      out.lease[#out.lease + 1] = id
    end
  end
  write_pending()
  return #lapsed
end

local function drop(id)
  local run = run_of(id)
  if run then forget(id, run) end
end

local function trim(most)
  local moved = 0
  for state = COMPLETED, CANCELLED do
    local name = key(NAMES[state])
    local gone = redis.call('ZRANGEBYSCORE', name, '-inf', now, 'LIMIT', 0, most)
    local over = redis.call('ZCARD', name) - (state == FAILED and meta.keep_failed or meta.keep_finished)
    if over > #gone then gone = redis.call('ZRANGE', name, 0, math.min(over, most) - 1) end
    if #gone > 0 then
      many('ZREM', name, gone, 1)
      for _, id in ipairs(gone) do drop(id) end
      moved = moved + #gone
    end
  end
  local keys = redis.call('ZRANGEBYSCORE', key('unique_until'), '-inf', now, 'LIMIT', 0, most)
  for _, name in ipairs(keys) do
    local held = redis.call('HGET', key('unique'), name)
    if held and string.sub(held, 1, 2) == '0|' then redis.call('HDEL', key('unique'), name) end
    redis.call('ZREM', key('unique_until'), name)
  end
  write_pending()
  return moved
end

local function tidy(most)
  return admit(most) + promote(most) + reap(most) + trim(most)
end
