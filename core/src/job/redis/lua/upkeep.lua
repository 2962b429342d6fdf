-- What passes with time, behind moves.lua and ingress.lua.
--
-- When the next delayed job is due and the next lease runs out, false if there is none:
-- known as long as nothing was moved.
local next_due, next_lapse

local function first_of(name)
  local score = redis.call('ZRANGE', key(name), 0, 0, 'WITHSCORES')[2]
  if score == 'inf' then return math.huge end
  return tonumber(score or false) or false
end

local function promote(most)
  next_due = first_of('delayed')
  if not next_due or next_due > now then return 0 end
  next_due = nil
  local due = redis.call('ZRANGEBYSCORE', key('delayed'), '-inf', now, 'LIMIT', 0, most)
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

-- Leases that were found to have run out.
local stalled = 0

local function reap(most)
  next_lapse = first_of('lease')
  if not next_lapse or next_lapse >= now then return 0 end
  next_lapse = nil
  local lapsed = redis.call('ZRANGEBYSCORE', key('lease'), '-inf', '(' .. now, 'LIMIT', 0, most)
  for _, id in ipairs(lapsed) do
    local run = run_of(id)
    if run and run[STATE] == RUNNING then
      stop_running(id, run)
      run[STALLS] = run[STALLS] + 1
      run[ATTEMPT] = math.max(0, run[ATTEMPT] - 1)
      stalled = stalled + 1
      tell(id, 'stalled')
      if run[CANCEL] == 1 then
        finish(id, run, CANCELLED)
      elseif run[STALLS] > run[MAX_STALLS] then
        fail(id, run, FAILED, 'stalled', 'its lease ran out ' .. run[STALLS]
          .. ' times: workers died or were frozen while they had it')
      else
        run[STATE] = WAITING
        redis.call('ZADD', key('ready'), run[SCORE], id)
        heed_deadline(id, run)
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

-- After `group_concurrency` was changed: lets as many of each group back to the line as may
-- run now, some groups at a time. `meta.unparked` says how far it is.
local function unpark(most)
  if not meta.unparked then return 0 end
  local scanned = redis.call('HSCAN', key('groups'), whole(meta.unparked), 'COUNT', 100)
  local called, found = 0, scanned[2]
  for n = 1, #found, 2 do
    local group = group_of(found[n])
    local room = group.parked
    if meta.group_concurrency then room = math.max(0, math.min(room, meta.group_concurrency - group.running)) end
    -- What is too much for now is come back to.
    if room > most - called then
      room = most - called
      scanned[1] = whole(meta.unparked)
    end
    for _ = 1, room do call_back(found[n], group) end
    called = called + room
  end
  if called == most or scanned[1] ~= '0' then
    meta.unparked = tonumber(scanned[1])
    redis.call('HSET', key('meta'), 'unparked', scanned[1])
  else
    redis.call('HDEL', key('meta'), 'unparked')
  end
  return called
end

local function drop(id)
  local run = run_of(id)
  if run then forget(id, run) end
end

local function expire(most)
  local late = redis.call('ZRANGEBYSCORE', key('deadline'), '-inf', '(' .. whole(now), 'LIMIT', 0, most)
  for _, id in ipairs(late) do
    local run = run_of(id)
    if run and run[STATE] <= DELAYED then
      step_out(id, run)
      fail(id, run, FAILED, 'expired', 'its deadline passed before a worker was free')
      write_pending()
    else
      redis.call('ZREM', key('deadline'), id)
    end
  end
  return #late
end

-- Drops the first to go of those that have ended, until the rest may be kept.
local function drop_heavy(name, most)
  local moved = 0
  if meta.kept <= meta.keep_bytes then return 0 end
  for _, id in ipairs(redis.call('ZRANGE', name, 0, most - 1)) do
    if meta.kept <= meta.keep_bytes then break end
    redis.call('ZREM', name, id)
    drop(id)
    moved = moved + 1
  end
  return moved
end

local function trim(most)
  local moved = expire(most)
  local function drop_first(state, gone)
    if #gone == 0 then return end
    many('ZREM', key(NAMES[state]), gone, 1)
    for _, id in ipairs(gone) do drop(id) end
    moved = moved + #gone
  end
  for state = COMPLETED, CANCELLED do
    drop_first(state, redis.call('ZRANGEBYSCORE', key(NAMES[state]), '-inf', now, 'LIMIT', 0, most))
  end
  local function count(state) return redis.call('ZCARD', key(NAMES[state])) end
  local function first(state, over) return redis.call('ZRANGE', key(NAMES[state]), 0, math.min(over, most) - 1) end
  local over = count(FAILED) - meta.keep_failed
  if over > 0 then drop_first(FAILED, first(FAILED, over)) end
  -- Of both together those go that would go first.
  local completed, cancelled = count(COMPLETED), count(CANCELLED)
  over = math.min(completed + cancelled - meta.keep_finished, most)
  if over > 0 then
    local ended, off = first(COMPLETED, over), cancelled > 0 and first(CANCELLED, over) or {}
    local function goes(state, id) return tonumber(redis.call('ZSCORE', key(NAMES[state]), id)) end
    while #ended + #off > over do
      local one, another = ended[#ended], off[#off]
      local later_one = not another or one and goes(COMPLETED, one) > goes(CANCELLED, another)
      table.remove(later_one and ended or off)
    end
    drop_first(COMPLETED, ended)
    drop_first(CANCELLED, off)
  end
  for _, state in ipairs({ COMPLETED, CANCELLED, FAILED }) do
    moved = moved + drop_heavy(key(NAMES[state]), most)
  end
  local keys = redis.call('ZRANGEBYSCORE', key('unique_until'), '-inf', now, 'LIMIT', 0, most)
  for _, name in ipairs(keys) do
    local held = redis.call('HGET', key('unique'), name)
    if held and string.sub(held, 1, 2) == '0|' then redis.call('HDEL', key('unique'), name) end
    redis.call('ZREM', key('unique_until'), name)
  end
  write_pending()
  -- With so many there may be more.
  meta.trimmed = moved < most and now or 0
  return moved
end

-- Claims look once a second at what is to go, or when they keep more.
local TRIMMED_EVERY = 1000

local function is_to_trim()
  return kept_more or now < meta.trimmed or now - meta.trimmed >= TRIMMED_EVERY
end

-- Takes what was left behind out of the line, a piece of it at a time, where it is much.
local LEFT_BEHIND = 1000

local function pack(most)
  if meta.gone <= LEFT_BEHIND then return 0 end
  -- Each time the line is walked to where it is: in larger steps it is walked less often.
  most = 4 * most
  local entries = redis.call('LRANGE', key('line'), meta.packed, meta.packed + most - 1)
  local dropped = {}
  for n, text in ipairs(entries) do
    local id = string.match(text, '^%d+|(.*)$')
    if redis.call('HEXISTS', key('job'), id) == 0 or redis.call('HEXISTS', key('run'), id) == 1 then
      redis.call('LSET', key('line'), meta.packed + n - 1, '')
      dropped[#dropped + 1] = id
    end
  end
  if #dropped > 0 then redis.call('LREM', key('line'), #dropped, '') end
  met(dropped)
  if #entries < most then
    -- All of it was looked at: what is left came since.
    meta.gone = math.min(meta.gone, LEFT_BEHIND)
  end
  meta.packed = #entries < most and 0 or meta.packed + #entries - #dropped
  return #entries
end

-- What a failover or a hand may have left, looked for a piece at a time where there is nothing
-- else to do: a running job without a lease would never come back, a group without jobs never go.
local function mend(most)
  local mended = 0
  local scanned = redis.call('HSCAN', key('run'), whole(meta.mended), 'COUNT', most)
  for n = 1, #scanned[2], 2 do
    local id, run = scanned[2][n], unpacked(scanned[2][n + 1])
    if run[STATE] == RUNNING and not redis.call('ZSCORE', key('lease'), id) then
      redis.call('ZADD', key('lease'), whole(now - 1), id)
      mended = mended + 1
    end
  end
  if redis.call('ZCARD', key('lease')) > 0 then redis.call('ZADD', key('lease'), '+inf', FOOT) end
  meta.mended = tonumber(scanned[1])
  local idle = is_drained()
  scanned = redis.call('HSCAN', key('groups'), whole(meta.grouped), 'COUNT', most)
  for n = 1, #scanned[2], 2 do
    local group = group_of(scanned[2][n])
    if idle and group.running == 0 then group.last, group.parked = 0, 0 end
  end
  meta.grouped = tonumber(scanned[1])
  return mended
end
