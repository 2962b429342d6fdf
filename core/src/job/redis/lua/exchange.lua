-- Records ends of attempts and claims. ARGV from 4: worker, how many, lease in
-- milliseconds, then for each settlement id, epoch, what, and two words about it.
-- Gives the settled states (0: stale), the claimed jobs, and when to ask again.
local worker, wanted, lease = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local settled, claimed = {}, {}
local WORDS = 5

local function settle(id, epoch, what, one, two)
  local packed = redis.call('HGET', key('run'), id)
  local run = packed and cmsgpack.unpack(packed)
  if not run or run[STATE] ~= RUNNING or run[EPOCH] ~= tonumber(epoch) then return 0 end
  if what == 'complete' and #one > meta.max_payload then
    what, one = 'fail', cjson.encode({ kind = 'result_too_large', message = 'the result has ' .. #one
      .. ' bytes, the limit is ' .. meta.max_payload .. ': keep large data elsewhere and pass its place' })
  end
  stop_running(id, run)
  local state
  if what == 'complete' then
    state = COMPLETED
    out.err[#out.err + 1] = id
    if finish(id, run, state) then redis.call('HSET', key('res'), id, one) end
  elseif what == 'cancel' or (run[CANCEL] == 1) then
    state = CANCELLED
    if finish(id, run, state) and (what == 'fail' or what == 'retry') then
      redis.call('HSET', key('err'), id, one)
    end
  elseif what == 'fail' or (what == 'retry' and run[DEADLINE] and now + tonumber(two) > run[DEADLINE]) then
    state = FAILED
    if finish(id, run, state) then redis.call('HSET', key('err'), id, one) end
  elseif what == 'retry' then
    state = DELAYED
    redis.call('HSET', key('err'), id, one)
    delay(id, run, now + tonumber(two))
  elseif what == 'snooze' then
    state = DELAYED
    run[ATTEMPT] = run[ATTEMPT] - 1
    delay(id, run, now + tonumber(two))
  else
    state = WAITING
    run[ATTEMPT] = run[ATTEMPT] - 1
    run[STATE] = WAITING
    redis.call('ZADD', key('ready'), run[SCORE], id)
    save(id, run)
    tell(id, 'waiting')
    rung = true
  end
  return state
end

local ended = false
local fresh = {}
for i = 7, #ARGV, WORDS do
  local id = ARGV[i]
  -- What this call wrote of a job is not there to read before it is flushed.
  if fresh[id] then write_pending() fresh = {} end
  local state = settle(unpack(ARGV, i, i + WORDS - 1))
  fresh[id] = true
  ended = ended or state >= COMPLETED
  settled[#settled + 1] = state
end
write_pending()
tidy(math.max(100, wanted))
if ended and followed and is_drained() then tell(nil, 'drained') end

local room = room_for(wanted)
local leases, expired = {}, false
local function take(id, score, blob, packed)
  local run = packed and cmsgpack.unpack(packed) or new_run(blob)
  if run[DEADLINE] and run[DEADLINE] < now then
    fail(id, run, FAILED, 'expired', 'its deadline passed before a worker was free')
    expired = true
    return
  end
  if run[GROUP] then
    local group = group_of(run[GROUP])
    if meta.group_concurrency and group.running >= meta.group_concurrency then
      redis.call('ZADD', key('parked:' .. run[GROUP]), score, id)
      redis.call('ZADD', key('parked'), score, id)
      group.parked = group.parked + 1
      return
    end
    group.running = group.running + 1
  end
  run[SCORE] = tonumber(score)
  meta.served = math.max(meta.served, (run[SCORE] + 500 * LEVEL) % LEVEL)
  run[STATE], run[EPOCH], run[ATTEMPT] = RUNNING, run[EPOCH] + 1, run[ATTEMPT] + 1
  run[STARTED], run[WORKER] = now, worker
  if run[EPOCH] > 1 then out.prog[#out.prog + 1] = id end
  save(id, run)
  leases[#leases + 1] = now + lease
  leases[#leases + 1] = id
  tell(id, 'running')
  claimed[#claimed + 1] = { id, blob, run[EPOCH], run[ATTEMPT], run[STALLS], run[RUN_AT] }
end

while #claimed < room do
  local popped = redis.call('ZPOPMIN', key('ready'), math.min(room - #claimed, 1000))
  if #popped == 0 then break end
  local ids = {}
  for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
  local blobs = redis.call('HMGET', key('job'), unpack(ids))
  local runs = redis.call('HMGET', key('run'), unpack(ids))
  for n, id in ipairs(ids) do
    if blobs[n] then take(id, popped[2 * n], blobs[n], runs[n]) end
  end
end
many('ZADD', key('lease'), leases, 2)
write_pending()
if expired and followed and is_drained() then tell(nil, 'drained') end
if meta.rate_gap and #claimed > 0 then
  meta.arrival = math.max(meta.arrival, now_us) + meta.rate_gap * #claimed
end

local again
local function sooner(at)
  if at and (not again or at < again) then again = at end
end
local due = redis.call('ZRANGE', key('delayed'), 0, 0, 'WITHSCORES')
sooner(tonumber(due[2] or false))
local lapse = redis.call('ZRANGE', key('lease'), 0, 0, 'WITHSCORES')
if lapse[2] then sooner(tonumber(lapse[2]) + 1) end
if meta.rate_gap and redis.call('ZCARD', key('ready')) > 0 then
  local _, wait = rate_room()
  sooner(now + math.ceil(wait / 1000))
end
ring_for_others()
flush()
return { settled, claimed, again and math.max(0, again - now) or -1 }
