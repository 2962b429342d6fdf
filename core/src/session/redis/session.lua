-- One session's verbs. The rules are with the caller: what it decided is stored only if the
-- session is still at the revision that it decided by.
--
-- KEYS[1]: any key of the owner's slot. ARGV: what all key names begin with, the verb, and
-- the verb's own. Keys: <prefix>active (sorted set: id by last use), <prefix>s:<id> (hash:
-- revision, head), <prefix>m:<id> (list: messages), <prefix>f:<id> (hash: files).
local prefix, verb = ARGV[1], ARGV[2]
local active = prefix .. 'active'

local function session(id) return prefix .. 's:' .. id end
local function messages(id) return prefix .. 'm:' .. id end
local function files(id) return prefix .. 'f:' .. id end

-- Many at a time: a call has room for some 8,000 arguments.
local function push(key, from)
  for first = from, #ARGV, 1000 do
    redis.call('RPUSH', key, unpack(ARGV, first, math.min(first + 999, #ARGV)))
  end
end

-- Whether a session is not at that revision, and what to answer then: the present head if it
-- went on, false if it is not there.
local function past(id, expected)
  local found = redis.call('HMGET', session(id), 'revision', 'head')
  return found[1] ~= expected, found[2]
end

local function store(id, revision, head, used)
  redis.call('HSET', session(id), 'revision', revision, 'head', head)
  redis.call('ZADD', active, used, id)
end

local verbs = {}

-- id, revision, head, last use, bodies… → 1, or 0 if the id is taken
function verbs.create()
  local id, revision, head, used = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
  if redis.call('EXISTS', session(id)) == 1 then return 0 end
  store(id, revision, head, used)
  redis.call('DEL', messages(id), files(id))
  push(messages(id), 7)
  return 1
end

-- id, revision expected, revision, head, last use, messages to keep or -1, bodies…
-- → 1, the present head if it went on, or nil if it is not there
function verbs.commit()
  local id, keep = ARGV[3], tonumber(ARGV[8])
  local gone, present = past(id, ARGV[4])
  if gone then return present end
  store(id, ARGV[5], ARGV[6], ARGV[7])
  if keep == 0 then
    redis.call('DEL', messages(id))
  elseif keep > 0 then
    redis.call('LTRIM', messages(id), 0, keep - 1)
  end
  push(messages(id), 9)
  return 1
end

-- id, 'run' first last | 'since' version | 'places' first count place… → {head, bodies}
function verbs.read()
  local id, range = ARGV[3], ARGV[4]
  local head = redis.call('HGET', session(id), 'head')
  if not head then return false end
  local key, bodies = messages(id), {}
  if range == 'run' then
    bodies = redis.call('LRANGE', key, ARGV[5], ARGV[6])
  elseif range == 'since' then
    -- Versions never fall: from the end back to the first that is known.
    local version, count = tonumber(ARGV[5]), redis.call('LLEN', key)
    local from = count
    while from > 0 do
      local body = redis.call('LINDEX', key, from - 1)
      local came = tonumber(string.match(body, '^{"place":%d+,"turn":%d+,"version":(%d+)'))
      if came <= version then break end
      from = from - 1
    end
    bodies = redis.call('LRANGE', key, from, -1)
  else
    for at = 5, #ARGV do
      local body = redis.call('LINDEX', key, ARGV[at])
      if body then bodies[#bodies + 1] = body end
    end
  end
  return { head, bodies }
end

-- id, revision expected or nothing → 1, the present head if it went on, or nil if it is not
-- there
function verbs.delete()
  local id, expected = ARGV[3], ARGV[4]
  if expected == '' then expected = redis.call('HGET', session(id), 'revision') end
  local gone, present = past(id, expected)
  if gone or not expected then return present end
  redis.call('DEL', session(id), messages(id), files(id))
  redis.call('ZREM', active, id)
  return 1
end

-- last use and id of the session before, or nothing; count → heads, the latest first
function verbs.list()
  local used, id, count = ARGV[3], ARGV[4], tonumber(ARGV[5])
  local from = 0
  if used ~= '' then
    if redis.call('ZSCORE', active, id) == used then
      from = redis.call('ZREVRANK', active, id) + 1
    else
      from = redis.call('ZCOUNT', active, '(' .. used, '+inf')
    end
  end
  local heads = {}
  for _, name in ipairs(redis.call('ZREVRANGE', active, from, from + count - 1)) do
    heads[#heads + 1] = redis.call('HGET', session(name), 'head')
  end
  return heads
end

-- last use at most, from, count → heads of those idle, the first left first
function verbs.idle()
  local heads = {}
  local names = redis.call('ZRANGEBYSCORE', active, '-inf', ARGV[3], 'LIMIT', ARGV[4], ARGV[5])
  for _, name in ipairs(names) do
    heads[#heads + 1] = redis.call('HGET', session(name), 'head')
  end
  return heads
end

-- id, revision expected, revision, head, last use, name, most files, body → 1, -count if there
-- are too many, the present head if it went on, or nil if it is not there
function verbs.put()
  local id, name, most, body = ARGV[3], ARGV[8], tonumber(ARGV[9]), ARGV[10]
  local gone, present = past(id, ARGV[4])
  if gone then return present end
  local others = redis.call('HLEN', files(id)) - redis.call('HEXISTS', files(id), name)
  if others >= most then return -others end
  store(id, ARGV[5], ARGV[6], ARGV[7])
  redis.call('HSET', files(id), name, body)
  return 1
end

-- id → the names of its files, false if there is no session
function verbs.files()
  local id = ARGV[3]
  if redis.call('EXISTS', session(id)) == 0 then return false end
  return redis.call('HKEYS', files(id))
end

-- id, revision expected, revision, head, last use, name → 1 or 0 as it was there, the present
-- head if it went on, or nil if there is no session
function verbs.drop()
  local id, name = ARGV[3], ARGV[8]
  local gone, present = past(id, ARGV[4])
  if gone then return present end
  store(id, ARGV[5], ARGV[6], ARGV[7])
  return redis.call('HDEL', files(id), name)
end

return verbs[verb]()
