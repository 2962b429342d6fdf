-- Records ends of attempts and claims. ARGV from 4: worker, how many, lease in
-- milliseconds, then for each settlement id, how, and a text: the epoch and the result of what
-- is complete, else `WHAT:EPOCH:MILLISECONDS` and an error or nothing.
-- Gives the settled states (0: stale), the claimed jobs as id, blob and epoch one after the
-- other, when to ask again, and how many stalled. In place of an epoch is a list of epoch,
-- attempt, stalls and run_at where it is not the first attempt, and right after the job came.
local worker, wanted, lease = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local settled, claimed, taken = {}, {}, 0
local WORDS = 3

local function settle(packed, id, how, one)
  local what, epoch, two = 'complete', how, 0
  if not tonumber(how) then what, epoch, two = string.match(how, '^(%l+):(%d+):(%d*)$') end
  local run = packed and unpacked(packed)
  if not run or run[STATE] ~= RUNNING or run[EPOCH] ~= tonumber(epoch) then return 0 end
  -- A rest that no number holds is long enough.
  if what == 'retry' or what == 'snooze' then two = later(tonumber(two)) end
  if what == 'complete' and #one > meta.max_payload then
    what, one = 'fail', cjson.encode({ kind = 'result_too_large', message = 'the result has ' .. #one
      .. ' bytes, the limit is ' .. meta.max_payload .. ': keep large data elsewhere and pass its place' })
  end
  stop_running(id, run)
  local state
  if what == 'complete' then
    state = COMPLETED
    out.err[#out.err + 1] = id
    if finish(id, run, state, #one) then redis.call('HSET', key('res'), id, one) end
  elseif what == 'cancel' or (run[CANCEL] == 1) then
    state = CANCELLED
    if finish(id, run, state) and (what == 'fail' or what == 'retry') then
      redis.call('HSET', key('err'), id, one)
    end
  elseif what == 'fail' or (what == 'retry' and run[DEADLINE] > 0 and two > run[DEADLINE]) then
    state = FAILED
    if finish(id, run, state) then redis.call('HSET', key('err'), id, one) end
  elseif what == 'retry' then
    state = DELAYED
    redis.call('HSET', key('err'), id, one)
    delay(id, run, two)
  elseif what == 'snooze' then
    state = DELAYED
    run[ATTEMPT] = run[ATTEMPT] - 1
    delay(id, run, two)
  else
    state = WAITING
    run[ATTEMPT] = run[ATTEMPT] - 1
    run[STATE] = WAITING
    redis.call('ZADD', key('ready'), run[SCORE], id)
    heed_deadline(id, run)
    save(id, run)
    tell(id, 'waiting')
    rung = true
  end
  return state
end

-- The way of most jobs, without a table: done at the first attempt, and not kept.
local function completed(packed, id, how, result)
  local epoch = tonumber(how)
  if not epoch or not packed or string.byte(packed) ~= FIRST or #result > meta.max_payload then return end
  local _, held, _, _, _, ttl, size = struct.unpack(FIRST_FORM, packed)
  if held ~= epoch or ttl > 0 then return end
  out.gone[#out.gone + 1] = id
  meta.bytes = meta.bytes - size
  if held > meta.retired then meta.retired = held end
  tell(id, 'completed')
  return COMPLETED
end

allow_full()
local ended = false
local STEP = 200 * WORDS
for first = 7, #ARGV, STEP do
  local last = math.min(first + STEP - WORDS, #ARGV)
  local ids, count = {}, 0
  for i = first, last, WORDS do
    count = count + 1
    ids[count] = ARGV[i]
  end
  local runs = redis.call('HMGET', key('run'), unpack(ids))
  local seen, before_it = {}, (first - 7) / WORDS
  for n = 1, count do
    local id, packed, i = ids[n], runs[n], first + (n - 1) * WORDS
    if seen[id] then
      -- What this call wrote of a job is not there to read before it is written.
      write_pending()
      packed = redis.call('HGET', key('run'), id)
    end
    seen[id] = true
    local how, text = ARGV[i + 1], ARGV[i + 2]
    local state = completed(packed, id, how, text) or settle(packed, id, how, text)
    ended = ended or state >= COMPLETED
    settled[before_it + n] = state
  end
  write_pending()
end
local most = math.max(100, math.min(wanted, 1000))
admit(most)
promote(most)
reap(most)
unpark(most)
if is_to_trim() then trim(most) end
if (ended or any_ended) and followed() and is_drained() then tell(nil, 'drained') end

local room = room_for(wanted)
local leases, expired = {}, false
local lapse = whole(later(lease))
local function hand_out(id, blob, terms)
  local n = 2 * taken
  leases[n + 1], leases[n + 2] = lapse, id
  n = n + taken
  claimed[n + 1], claimed[n + 2], claimed[n + 3] = id, blob, terms
  taken = taken + 1
  tell(id, 'running')
end

local function served(score)
  local tag = (score + 500 * LEVEL) % LEVEL
  if tag > meta.served then meta.served = tag end
end

-- The way of most jobs, without a table: claimed for the first time, with nothing unusual.
local filled = worker .. FILL
local function taken_at_once(id, score, blob, header, size)
  if header ~= USUAL_HEADER and (header.group or header.deadline or header.unique_key or header.webhook
    or header.priority or header.max_stalls) then return false end
  local epoch, runs = meta.retired + 1, out.runs
  local n = #runs
  runs[n + 1] = id
  runs[n + 2] = struct.pack(FIRST_FORM, FIRST, epoch, created_of(blob), now, score, header.result_ttl_ms or HOUR,
    size, filled)
  served(score)
  hand_out(id, blob, epoch)
  return true
end

-- Entries of the line that were handed out: a second one of a job was left behind.
local taken_now = {}

local function take(id, score, blob, packed, header, size)
  if not packed and taken_at_once(id, tonumber(score), blob, header, size) then return end
  local run = packed and unpacked(packed) or new_run(blob)
  if run[STATE] ~= WAITING then return end
  if run[DEADLINE] > 0 and run[DEADLINE] < now then
    make_way(run)
    fail(id, run, FAILED, 'expired', 'its deadline passed before a worker was free')
    expired = true
    return
  end
  if run[GROUP] ~= '' then
    local group = group_of(run[GROUP])
    if meta.group_concurrency and group.running >= meta.group_concurrency then
      redis.call('ZADD', key('parked:' .. run[GROUP]), score, id)
      redis.call('ZADD', key('parked'), score, id)
      group.parked = group.parked + 1
      return
    end
    group.running = group.running + 1
  end
  ignore_deadline(id, run)
  run[SCORE] = tonumber(score)
  served(run[SCORE])
  if run[EPOCH] > 0 then
    out.prog[#out.prog + 1] = id
    if run[NOTES] < AGAIN then run[NOTES] = run[NOTES] + AGAIN end
  end
  run[STATE], run[EPOCH], run[ATTEMPT] = RUNNING, next_epoch(run[EPOCH]), run[ATTEMPT] + 1
  run[STARTED], run[WORKER] = now, worker
  save(id, run)
  hand_out(id, blob, { run[EPOCH], run[ATTEMPT], run[STALLS], run[RUN_AT] })
end

-- What one answer carries of payloads, unless one alone has more, as TRIP_BYTES has it, and
-- how many that cannot run are passed over: what is beyond is for another call.
local BYTES, PASSED = 4194304, 1000
local bytes, passed, cut = 0, 0, false

-- Takes the first of both, in the order of their scores: ids, scores, which of them are from
-- the line, and what is kept of them.
local function pop(most)
  local ids, scores, lined = {}, {}, {}
  local sorted = redis.call('ZRANGE', key('ready'), 0, most - 1, 'WITHSCORES')
  local line = redis.call('LRANGE', key('line'), 0, most - 1)
  if #line == 0 and meta.gone > 0 then
    meta.gone = 0
    redis.call('DEL', key('left'))
  end
  local from_line, from_sorted = 0, 0
  local tag, id
  while #ids < most do
    if from_line < #line and not tag then tag, id = string.match(line[from_line + 1], '^(%d+)|(.*)$') end
    local nth = #ids + 1
    local score = sorted[2 * from_sorted + 2]
    if tag and (not score or tonumber(tag) < tonumber(score)) then
      ids[nth], scores[nth], lined[nth] = id, tag, true
      from_line, tag = from_line + 1, nil
    elseif score then
      ids[nth], scores[nth], lined[nth] = sorted[2 * from_sorted + 1], score, false
      from_sorted = from_sorted + 1
    else
      break
    end
  end
  if #ids == 0 then return ids end
  local blobs = redis.call('HMGET', key('job'), unpack(ids))
  for n = 1, #ids do
    local size = blobs[n] and #blobs[n] or 0
    if bytes > 0 and bytes + size > BYTES then
      cut = true
      for last = #ids, n, -1 do
        if lined[last] then from_line = from_line - 1 else from_sorted = from_sorted - 1 end
        ids[last] = nil
      end
      break
    end
    bytes = bytes + size
  end
  if #ids == 0 then return ids end
  if from_sorted > 0 then redis.call('ZREMRANGEBYRANK', key('ready'), 0, from_sorted - 1) end
  if from_line > 0 then redis.call('LTRIM', key('line'), from_line, -1) end
  return ids, scores, lined, blobs, redis.call('HMGET', key('run'), unpack(ids))
end

local exhausted = false
-- Where payloads are large few are read at once.
local step = meta.bytes > 16 * BYTES and 16 or 1000
while taken < room and passed < PASSED and not cut and not exhausted do
  local asked = math.min(room - taken, step)
  step = math.min(step * 4, 1000)
  local ids, scores, lined, blobs, runs = pop(asked)
  exhausted, called_back = #ids < asked and not cut, false
  passed = passed + #ids + taken
  local dropped = {}
  for n, id in ipairs(ids) do
    local blob, packed = blobs[n], runs[n]
    local header, size
    if blob then header, size = header_of(blob) end
    -- An entry is left behind where its job is gone, or waits elsewhere.
    if lined[n] and (not blob or packed or taken_now[id] or header.group or header.priority) then
      dropped[#dropped + 1] = id
    elseif blob then
      taken_now[id] = true
      take(id, scores[n], blob, packed, header, size)
    end
  end
  if #dropped > 0 then met(dropped) end
  passed = passed - taken
  exhausted = exhausted and not called_back
end
if taken > 0 and next_lapse == false then
  leases[2 * taken + 1], leases[2 * taken + 2] = '+inf', FOOT
end
many('ZADD', key('lease'), leases, 2)
write_pending()
if expired and followed() and is_drained() then tell(nil, 'drained') end
if meta.rate_gap and taken > 0 then
  meta.arrival = rate_arrival() + meta.rate_gap * taken
end

local again
local function sooner(at)
  if at and (not again or at < again) then again = at end
end
if next_due == nil then next_due = first_of('delayed') end
sooner(next_due)
if next_lapse == nil then next_lapse = first_of('lease') end
if next_lapse and next_lapse < math.huge then sooner(next_lapse + 1) end
if taken > 0 then sooner(later(lease) + 1) end
local full = meta.concurrency and running_count() >= meta.concurrency
if meta.rate_gap and meta.paused ~= 1 and not full and ready_count() > 0 then
  local _, wait = rate_room()
  sooner(now + math.ceil(wait / 1000))
end
-- It was left off before the end.
if taken < room and not exhausted then again = now end
-- What came back to the line since has rung.
if rung or not exhausted then ring_for_others() end
flush()
return { settled, claimed, again and math.max(0, again - now) or -1, stalled }
