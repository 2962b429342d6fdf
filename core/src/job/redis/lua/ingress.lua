-- Jobs pushed by anyone to the public list. Ids are UTF-8 text: this leaves only what
-- is not.
local SEQUENCES = { '[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]',
  '[\225-\236\238\239][\128-\191][\128-\191]', '\237[\128-\159][\128-\191]',
  '\240[\144-\191][\128-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191][\128-\191]',
  '\244[\128-\143][\128-\191][\128-\191]' }

local function is_text(text)
  for _, pattern in ipairs(SEQUENCES) do text = string.gsub(text, pattern, '') end
  return not string.find(text, '[\128-\255]')
end

local function admit_one(text)
  local ok, value = pcall(cjson.decode, text)
  local id = ok and type(value) == 'table' and value.id
  if type(id) == 'number' and id == math.floor(id) and math.abs(id) < 9007199254740992 then
    id = string.format('%.0f', id)
  end
  -- What is no id elsewhere is none here: the controls behind ASCII are two bytes each.
  if type(id) ~= 'string' or id == '' or #id > 200 or string.find(id, '%c')
    or string.find(id, '\194[\128-\159]') or not is_text(id) then
    id = 'pushed-' .. now .. '-' .. next_sequence()
  end
  local problem
  if not ok then
    problem = { 'bad_payload', 'what was pushed is no JSON' }
  elseif #text > meta.max_payload then
    problem = { 'bad_payload', 'what was pushed has ' .. #text .. ' bytes, the limit is ' .. meta.max_payload }
  end
  local there = redis.call('HGET', key('job'), id)
  if there then
    -- The same push again is the same job.
    if string.sub(there, -(#text + 1)) == '\n' .. text then return end
    problem = problem or { 'duplicate_id', 'a job of the id `' .. id .. '` with another payload was there' }
    id = 'pushed-' .. now .. '-' .. next_sequence()
  end
  -- The space tells claimants to look closer at what this decoder lets through.
  local blob = base36(now) .. '{ }\n' .. text
  redis.call('HSET', key('job'), id, blob)
  meta.bytes = meta.bytes + #text
  if problem then
    fail(id, new_run(blob), FAILED, problem[1], problem[2])
    write_pending()
  else
    append(id, blob)
  end
end

local function admit(most)
  local taken, admitted = 0, 0
  for _, list in ipairs({ key('inbox'), LIST }) do
    while taken < most do
      local text = redis.call('RPOP', list)
      if not text then break end
      taken = taken + 1
      -- A bell is no job.
      if text ~= '' then
        admit_one(text)
        admitted = admitted + 1
      end
    end
  end
  return admitted
end
