-- News of one attempt. ARGV from 4: id, epoch, progress as JSON or '', then log lines.
-- Gives 1, or 0 if it is stale.
local id, epoch, progress = ARGV[4], tonumber(ARGV[5]), ARGV[6]
local packed = redis.call('HGET', key('run'), id)
local run = packed and unpacked(packed)
if not run or run[STATE] ~= RUNNING or run[EPOCH] ~= epoch then return 0 end
local reported = false
if progress ~= '' then
  redis.call('HSET', key('prog'), id, progress)
  tell(id, 'progress', cjson.decode(progress))
  reported = true
end
if #ARGV > 6 then
  local lines = {}
  for i = 7, #ARGV do
    lines[#lines + 1] = now .. '|' .. ARGV[i]
    tell(id, 'log', { text = ARGV[i] })
  end
  many('RPUSH', key('log:' .. id), lines, 1)
  redis.call('LTRIM', key('log:' .. id), -1000, -1)
  reported = true
end
if reported and not has_news(run) then
  run[NOTES] = run[NOTES] + REPORTED
  save(id, run)
end
flush()
return 1
