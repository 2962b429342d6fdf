-- Looks at jobs. ARGV from 4: 'ids' and ids; or a set's or the line's name, behind which
-- score and member to begin ('' for the beginning), and how many. Gives for each job false,
-- or: id, blob, state, epoch, attempt, stalls, run_at, started, finished, cancel, worker,
-- error, result, progress; then for each its score and member in the set; then 1 if there may
-- be more. Large jobs are fewer than asked for.
admit(100)
local BYTES = 4194304
local ids, places, more = {}, {}, 0

local function number(score) return score == 'inf' and math.huge or tonumber(score) end

-- Whether a text is behind another in a set: Lua's own order is that of the server's language.
local function is_behind(one, another)
  for n = 1, #one do
    local byte = string.byte(another, n)
    if not byte or string.byte(one, n) ~= byte then return not byte or string.byte(one, n) > byte end
  end
  return false
end

-- Scores and members from a rank on, one after the other.
local function ranked(name, first, last)
  if name ~= 'line' then
    local found = redis.call('ZRANGE', key(name), first, last, 'WITHSCORES')
    for n = 1, #found, 2 do found[n], found[n + 1] = found[n + 1], found[n] end
    return found
  end
  local found = {}
  for _, text in ipairs(redis.call('LRANGE', key(name), first, last)) do
    found[#found + 1] = string.match(text, '^%d+')
    found[#found + 1] = text
  end
  return found
end

-- How many are before a place or at it, whatever has left the set since.
local function rank_behind(name, score, member)
  local low, high = 0, redis.call(name == 'line' and 'LLEN' or 'ZCARD', key(name))
  while low < high do
    local middle = math.floor((low + high) / 2)
    local at = ranked(name, middle, middle)
    local there = number(at[1])
    if there < score or (there == score and not is_behind(at[2], member)) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

if ARGV[4] == 'ids' then
  for i = 5, #ARGV do ids[#ids + 1] = ARGV[i] end
else
  local name, most = ARGV[4], tonumber(ARGV[7])
  local first = ARGV[5] == '' and 0 or rank_behind(name, number(ARGV[5]), ARGV[6])
  places = ranked(name, first, first + most - 1)
  for n = 2, #places, 2 do
    local member = places[n]
    if name == 'delayed' then member = string.sub(member, 13) end
    if name == 'line' then member = string.match(member, '^%d+|(.*)$') end
    ids[#ids + 1] = member
  end
  if #ids == most then more = 1 end
end
local answers, bytes = {}, 0
for n, id in ipairs(ids) do
  if bytes > BYTES then
    more = 1
    break
  end
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
  if run then bytes = bytes + #blob + #answers[n][13] end
end
flush()
return { answers, places, more }
