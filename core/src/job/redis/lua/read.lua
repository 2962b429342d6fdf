-- Looks at jobs. ARGV from 4: 'ids' and ids, or a set's or the line's name, where to begin and how
-- many. Gives for each id false, or: id, blob, state, epoch, attempt, stalls, run_at,
-- started, finished, cancel, worker, error, result, progress.
admit(100)
local ids = {}
if ARGV[4] == 'ids' then
  for i = 5, #ARGV do ids[#ids + 1] = ARGV[i] end
else
  local first = tonumber(ARGV[5])
  local last = first + tonumber(ARGV[6]) - 1
  ids = redis.call(ARGV[4] == 'line' and 'LRANGE' or 'ZRANGE', key(ARGV[4]), first, last)
  for n, member in ipairs(ids) do
    if ARGV[4] == 'delayed' then ids[n] = string.sub(member, 13) end
    if ARGV[4] == 'line' then ids[n] = string.match(member, '^%d+|(.*)$') end
  end
end
local answers = {}
for n, id in ipairs(ids) do
  local blob = redis.call('HGET', key('job'), id)
  local run = blob and run_of(id)
  -- What was left behind in the line waits elsewhere, or not at all.
  if run and ARGV[4] == 'line' and redis.call('HEXISTS', key('run'), id) == 1 then run = nil end
  local ended = run and run[STATE] >= COMPLETED
  if ended then
    local goes = redis.call('ZSCORE', key(NAMES[run[STATE]]), id)
    if not goes or tonumber(goes) <= now then run = nil end
  end
  answers[n] = run and { id, blob, run[STATE], run[EPOCH], run[ATTEMPT], run[STALLS], run[RUN_AT],
    run[STARTED], run[FINISHED], run[CANCEL], run[WORKER],
    redis.call('HGET', key('err'), id) or '', redis.call('HGET', key('res'), id) or '',
    redis.call('HGET', key('prog'), id) or '' } or false
end
flush()
return answers
