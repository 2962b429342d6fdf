-- Verbs on jobs by id. ARGV from 4: the verb and the ids. Gives for each the state
-- after, 0 if it is not in this queue, or a negative state that forbids the verb.
local verb = ARGV[4]
-- What is taken from a state's number where another job holds the unique key.
local KEY_IS_HELD = 10
allow_full()
admit(100)
local answers = {}
local VERBS = {}
-- Whether one that ran makes room for another.
local freed = false

function VERBS.cancel(id, run)
  if run[STATE] == RUNNING then
    run[CANCEL] = 1
    save(id, run)
    tell(id, 'cancel_requested')
    -- To workers, whose channel is one for all queues.
    local queue = queue_name()
    local channel = string.sub(P, 1, #P - #queue - 3) .. 'cancel'
    redis.call('PUBLISH', channel,
      cjson.encode({ at = now, queue = queue, id = id, event = 'cancel_requested' }))
  elseif run[STATE] < COMPLETED then
    step_out(id, run)
    finish(id, run, CANCELLED)
  end
  return run[STATE]
end

function VERBS.delete(id, run)
  local state = run[STATE]
  if state == RUNNING then
    stop_running(id, run)
    freed = true
  elseif state < RUNNING then
    step_out(id, run)
  else
    redis.call('ZREM', key(NAMES[state]), id)
  end
  if state <= RUNNING then
    meta.bytes = meta.bytes - run[SIZE]
    if run[KEY] ~= '' then
      local held = redis.call('HGET', key('unique'), run[KEY])
      if held and string.match(held, '^%d|%-?%d+|(.*)$') == id then redis.call('HDEL', key('unique'), run[KEY]) end
    end
  end
  forget(id, run)
  tell(id, 'deleted')
  return state
end

function VERBS.revive(id, run)
  if run[STATE] < COMPLETED then return -run[STATE] end
  if run[KEY] ~= '' then
    local held = redis.call('HGET', key('unique'), run[KEY])
    local live, until_ms, by = string.match(held or '', '^(%d)|(%-?%d+)|(.*)$')
    if by and by ~= id and (live == '1' or tonumber(until_ms) > now) then return -KEY_IS_HELD - run[STATE] end
    redis.call('HSET', key('unique'), run[KEY], '1|' .. (by == id and until_ms or '0') .. '|' .. id)
  end
  redis.call('ZREM', key(NAMES[run[STATE]]), id)
  meta.kept = math.max(0, meta.kept - run[SIZE])
  run[SIZE] = run[SIZE] - redis.call('HSTRLEN', key('res'), id)
  meta.bytes = meta.bytes + run[SIZE]
  run[ATTEMPT], run[STALLS], run[RUN_AT], run[FINISHED], run[CANCEL] = 0, 0, now, 0, 0
  for _, part in ipairs({ 'err', 'res', 'prog' }) do redis.call('HDEL', key(part), id) end
  line_up(id, run)
  save(id, run)
  return WAITING
end

local live = false
for i = 5, #ARGV do
  local id = ARGV[i]
  local run = run_of(id)
  live = live or (run and run[STATE] <= RUNNING) or false
  answers[#answers + 1] = run and VERBS[verb](id, run) or 0
  write_pending()
end
if live and verb ~= 'revive' and followed() and is_drained() then tell(nil, 'drained') end
if freed then ring_for_others() end
flush()
return answers
