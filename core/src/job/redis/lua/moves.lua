-- Moves of jobs between states, behind queue.lua.

-- Whether one more job that has ended is kept, and whether one ended at all.
local kept_more, any_ended = false, false

local function run_of(id)
  local packed = redis.call('HGET', key('run'), id)
  if packed then return unpacked(packed) end
  local blob = redis.call('HGET', key('job'), id)
  if blob then return new_run(blob) end
end

local function line_up(id, run)
  run[STATE] = WAITING
  run[SCORE] = place(run[PRIORITY], run[GROUP])
  redis.call('ZADD', key('ready'), whole(run[SCORE]), id)
  heed_deadline(id, run)
  tell(id, 'waiting')
  rung = true
end

-- How many wait for nothing but a worker.
local function ready_count()
  return redis.call('ZCARD', key('ready')) + math.max(0, redis.call('LLEN', key('line')) - meta.gone)
end

-- But for `FOOT`, which is there with any lease.
local function running_count() return math.max(0, redis.call('ZCARD', key('lease')) - 1) end

-- A new job without priority and group takes its place in the line. An entry that one of its
-- id left there must not give it the old one.
local function append(id, blob)
  if meta.gone > 0 and redis.call('SISMEMBER', key('left'), id) == 1 then
    redis.call('HSET', key('run'), id, struct.pack(FORM, unpack(new_run(blob), 1, KEY)))
    redis.call('ZADD', key('ready'), whole(place(0, '')), id)
  else
    redis.call('RPUSH', key('line'), entry(id))
  end
  tell(id, 'waiting')
  rung = true
end

-- Whether one that waited aside is back in the line.
local called_back = false

-- The next of a group that waits aside goes back to the line.
local function call_back(name, group)
  if group.parked > 0 then
    local popped = redis.call('ZPOPMIN', key('parked:' .. name))
    group.parked = popped[1] and group.parked - 1 or 0
    if popped[1] then
      redis.call('ZREM', key('parked'), popped[1])
      redis.call('ZADD', key('ready'), popped[2], popped[1])
      called_back, rung = true, true
    end
  end
end

-- One of the group's jobs runs no more.
local function leave(run)
  if run[GROUP] == '' then return end
  local group = group_of(run[GROUP])
  group.running = math.max(0, group.running - 1)
  call_back(run[GROUP], group)
end

-- One that was in the line goes unrun: nobody else would call the next in its place.
local function make_way(run)
  if run[GROUP] == '' then return end
  local group = group_of(run[GROUP])
  if not meta.group_concurrency or group.running < meta.group_concurrency then
    call_back(run[GROUP], group)
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
  elseif run[SCORE] == 0 then
    meta.gone = meta.gone + 1
    redis.call('SADD', key('left'), id)
  end
end

-- Entries that were left behind are out of the line.
local function met(ids)
  meta.gone = math.max(0, meta.gone - #ids)
  many('SREM', key('left'), ids, 1)
end

local function free_key(id, run)
  if run[KEY] == '' then return end
  local held = redis.call('HGET', key('unique'), run[KEY])
  if not held then return end
  local live, until_ms, by = string.match(held, '^(%d)|(%-?%d+)|(.*)$')
  if by ~= id then return end
  if tonumber(until_ms) > now then
    redis.call('HSET', key('unique'), run[KEY], '0|' .. until_ms .. '|' .. id)
    redis.call('ZADD', key('unique_until'), until_ms, run[KEY])
  else
    redis.call('HDEL', key('unique'), run[KEY])
  end
end

local function forget(id, run)
  ignore_deadline(id, run)
  if run[STATE] >= COMPLETED then meta.kept = math.max(0, meta.kept - run[SIZE]) end
  out.job[#out.job + 1] = id
  out.run[#out.run + 1] = id
  -- What only later attempts, reports and ends leave behind.
  meta.retired = math.max(meta.retired, run[EPOCH])
  if run[NOTES] >= AGAIN or has_news(run) or run[STATE] ~= RUNNING then
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
  local queue = queue_name()
  local payload = '{"id":' .. cjson.encode(id) .. ',"queue":' .. cjson.encode(queue)
    .. ',"kind":' .. cjson.encode(header.kind or queue) .. ',"state":"' .. NAMES[state]
    .. '","ended_at":' .. whole(now) .. ',"url":' .. cjson.encode(header.webhook) .. '}'
  local delivery = base36(now) .. DELIVERY .. '\n' .. payload
  redis.call('HSET', key('job'), name, delivery)
  meta.bytes = meta.bytes + #payload
  append(name, delivery)
end

-- `result`: the bytes of what came of it. They are the job's from then on.
local function finish(id, run, state, result)
  any_ended = true
  meta.bytes = meta.bytes - run[SIZE]
  free_key(id, run)
  tell(id, NAMES[state])
  if run[NOTES] % AGAIN >= HOOKED then deliver(id, run, state) end
  local kept = state == FAILED and meta.failed_ttl or run[TTL]
  if kept <= 0 then
    forget(id, run)
    -- To be answered.
    run[STATE] = state
    return false
  end
  ignore_deadline(id, run)
  run[STATE], run[FINISHED], run[SIZE] = state, now, run[SIZE] + (result or 0)
  meta.kept = meta.kept + run[SIZE]
  kept_more = true
  redis.call('ZADD', key(NAMES[state]), whole(later(kept)), id)
  save(id, run)
  return true
end

local function fail(id, run, state, kind, message)
  if finish(id, run, state) then
    redis.call('HSET', key('err'), id, cjson.encode({ kind = kind, message = message }))
  end
end

-- Further ahead than the window is what a slower rate left behind, or a clock set back.
local function rate_arrival()
  meta.arrival = math.min(meta.arrival, now_us + meta.rate_window)
  return math.max(meta.arrival, now_us)
end

local function rate_room()
  local arrival = rate_arrival()
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
    room = math.min(room, meta.concurrency - running_count())
  end
  if room > 0 and meta.rate_gap then room = math.min(room, (rate_room())) end
  return math.max(0, room)
end

-- Whoever takes a bell from the list rings again if there is work for another.
local function ring_for_others()
  rung = ready_count() > 0 and room_for(1) > 0
end

local function is_drained()
  return running_count() == 0 and ready_count() == 0
    and redis.call('ZCARD', key('parked')) == 0
end
