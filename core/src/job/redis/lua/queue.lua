-- One queue: what all scripts share. KEYS[1] is the queue's public list, ARGV[1] the
-- prefix of its other keys, ARGV[2] the time in milliseconds ('' for the server's own),
-- ARGV[3] '1' to tell of events whether or not somebody follows here. KEYS[2] never is: see
-- scripts.rs.
--
-- A job's `run` record is there once it is more than waiting for the first time: the
-- fields below, packed by `FORM`. 0 and '' stand for what is not there.
local FORM = '<BBBhdI4I4I4dddddI4ddsss'
-- While it runs for the first time, and nothing about it is unusual, it is a third of that, and
-- of the time: `FIRST`, epoch, taken in, begun, score, time to keep the result, size and worker.
-- Zeros behind it keep `run` from Redis's form for small hashes, which is read from its beginning.
local FIRST_FORM, FIRST, FILL = '<BdddddI4s', 131, string.rep('\0', 20)
local STATE, CANCEL, NOTES, PRIORITY, EPOCH, ATTEMPT, STALLS, MAX_STALLS = 1, 2, 3, 4, 5, 6, 7, 8
local RUN_AT, STARTED, FINISHED, SCORE, SEQUENCE = 9, 10, 11, 12, 13
local SIZE, TTL, DEADLINE, WORKER, GROUP, KEY = 14, 15, 16, 17, 18, 19
-- The notes on a job: 1 if it has news of attempts, 2 if it has a webhook, 4 if it was claimed
-- more than once.
local REPORTED, HOOKED, AGAIN = 1, 2, 4
local WAITING, DELAYED, RUNNING, COMPLETED, FAILED, CANCELLED = 1, 2, 3, 4, 5, 6
local NAMES = { 'waiting', 'delayed', 'running', 'completed', 'failed', 'cancelled' }
local LIST, P = KEYS[1], ARGV[1]
local LEVEL = 8796093022208 -- 2^43: what one priority is worth in a score.
local HOUR = 3600000

local function key(name) return P .. name end

local function queue_name() return string.match(P, '{(.*)}:$') end

-- A full server refuses a script by its first write, if that one takes memory: begun by one
-- that takes none, ends are recorded and leases renewed all the same.
local function allow_full() redis.call('ZREM', key('lease'), '') end

local now, now_us
if ARGV[2] ~= '' then
  now = tonumber(ARGV[2])
  now_us = now * 1000
else
  local time = redis.call('TIME')
  now_us = time[1] * 1000000 + time[2]
  now = math.floor(now_us / 1000)
end

-- The queue's own numbers: read once, written once by `flush`. Few queues have limits.
local COUNTERS = { 'sequence', 'served', 'last', 'bytes', 'arrival', 'gone', 'packed', 'trimmed', 'retired', 'kept',
  'mended', 'grouped' }
local meta = { max_bytes = 1073741824, max_payload = 16777216, keep_failed = 10000, failed_ttl = 2592000000,
  keep_finished = 1000000, keep_bytes = 268435456 }
local before = {}
do
  local limited = #COUNTERS + 1
  local values = redis.call('HMGET', key('meta'), 'sequence', 'served', 'last', 'bytes', 'arrival', 'gone', 'packed',
    'trimmed', 'retired', 'kept', 'mended', 'grouped', 'limited')
  for i = 1, #COUNTERS do
    local value = tonumber(values[i] or 0)
    meta[COUNTERS[i]], before[i] = value, value
  end
  if values[limited] then
    local LIMITS = { 'paused', 'concurrency', 'group_concurrency', 'rate_gap', 'rate_window', 'max_bytes',
      'max_payload', 'keep_failed', 'failed_ttl', 'keep_finished', 'keep_bytes', 'unparked' }
    values = redis.call('HMGET', key('meta'), unpack(LIMITS))
    for i, name in ipairs(LIMITS) do
      if values[i] then meta[name] = tonumber(values[i]) end
    end
  end
end

local events, rung = {}, false
local heard

local function followed()
  if heard == nil then heard = ARGV[3] == '1' or redis.call('PUBSUB', 'NUMPAT') > 0 end
  return heard
end

local function tell(id, event, more)
  if followed() then
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
local out = { gone = {}, lease = {}, job = {}, run = {}, runs = {}, err = {}, res = {}, prog = {} }

local function save(id, run)
  local list = out.runs
  list[#list + 1] = id
  list[#list + 1] = struct.pack(FORM, unpack(run, 1, KEY))
end

local function unpacked(packed)
  if string.byte(packed) ~= FIRST then return { struct.unpack(FORM, packed) } end
  local _, epoch, created, started, score, ttl, size, by = struct.unpack(FIRST_FORM, packed)
  return { RUNNING, 0, 0, 0, epoch, 1, 0, 3, created, started, 0, score, 0, size, ttl, 0, by, '', '' }
end

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

local function write(command, name, what, record)
  local list = out[what]
  if #list > 0 then
    many(command, key(name), list, record)
    out[what] = {}
  end
end

local function write_pending()
  -- What ran, ended at once and is not kept.
  local gone = out.gone
  if #gone > 0 then
    many('ZREM', key('lease'), gone, 1)
    many('HDEL', key('job'), gone, 1)
    many('HDEL', key('run'), gone, 1)
    out.gone = {}
  end
  write('ZREM', 'lease', 'lease', 1)
  write('HDEL', 'job', 'job', 1)
  write('HSET', 'run', 'runs', 2)
  write('HDEL', 'run', 'run', 1)
  write('HDEL', 'err', 'err', 1)
  write('HDEL', 'res', 'res', 1)
  write('HDEL', 'prog', 'prog', 1)
end

local function flush()
  write_pending()
  local changed = {}
  for i, name in ipairs(COUNTERS) do
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

-- A point in time so many milliseconds from now; one that no number holds is far enough.
local FAR = 9007199254740991
local function later(milliseconds) return math.min(now + milliseconds, FAR) end

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
    created_of(blob), 0, 0, 0, 0, size, header.result_ttl_ms or HOUR,
    header.deadline and math.max(1, header.deadline) or 0,
    '', header.group or '', header.unique_key or '' }
end

local function has_news(run) return run[NOTES] % HOOKED == REPORTED end

-- `meta.retired` is the highest epoch of jobs that are gone: whoever still has a lease of one
-- must not write to a new job of its id.
local function next_epoch(last) return math.max(last, meta.retired) + 1 end

-- Jobs that wait and have a deadline are ended by it, whether or not somebody claims.
local function heed_deadline(id, run)
  if run[DEADLINE] > 0 then redis.call('ZADD', key('deadline'), whole(run[DEADLINE]), id) end
end

local function ignore_deadline(id, run)
  if run[DEADLINE] > 0 then redis.call('ZREM', key('deadline'), id) end
end

local function delay(id, run, due)
  run[STATE], run[RUN_AT], run[SEQUENCE] = DELAYED, due, next_sequence()
  redis.call('ZADD', key('delayed'), due, delayed_member(run, id))
  heed_deadline(id, run)
  save(id, run)
  tell(id, 'delayed')
  rung = true
end

-- Jobs without priority and group that were never claimed stand in a list, `TAG|ID`, in
-- the order of their tags: a third of the bytes, and of the time, of a sorted set. One that
-- is cancelled or deleted leaves its entry behind: whoever meets it drops it, `meta.gone`
-- counts these, and `left` has their ids. An entry counts only while its job has no `run` record.
local function entry(id)
  meta.last = math.max(meta.last, meta.served) + 1
  return string.format('%d|', meta.last) .. id
end

-- A member that no job has, with a score that no time reaches. Its length keeps `lease` from
-- Redis's form for small sets, which is read from its beginning for each that is added.
local FOOT = string.rep('\0', 65)
