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
  local entries = redis.call('LRANGE', key('line'), meta.packed, meta.packed + most - 1)
  if #entries < most then
    -- All of it was looked at: what is left came since.
    meta.gone = math.min(meta.gone, LEFT_BEHIND)
  end
  local dropped = 0
  for n, text in ipairs(entries) do
    local id = string.match(text, '^%d+|(.*)$')
    if redis.call('HEXISTS', key('job'), id) == 0 or redis.call('HEXISTS', key('run'), id) == 1 then
      redis.call('LSET', key('line'), meta.packed + n - 1, '')
      dropped = dropped + 1
    end
  end
  if dropped > 0 then redis.call('LREM', key('line'), 0, '') end
  meta.gone = math.max(0, meta.gone - dropped)
  meta.packed = #entries < most and 0 or meta.packed + #entries - dropped
  return #entries
end
