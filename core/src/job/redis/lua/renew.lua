-- Makes leases last. ARGV from 4: how long in milliseconds, then ids and epochs.
-- Gives for each 0 (lost), 1 (kept) or 2 (to be called off).
local answers, leases = {}, {}
local lapse = whole(later(tonumber(ARGV[4])))
for i = 5, #ARGV, 2 do
  local packed = redis.call('HGET', key('run'), ARGV[i])
  local run = packed and unpacked(packed)
  if run and run[STATE] == RUNNING and run[EPOCH] == tonumber(ARGV[i + 1]) then
    leases[#leases + 1] = lapse
    leases[#leases + 1] = ARGV[i]
    answers[#answers + 1] = 1 + run[CANCEL]
  else
    answers[#answers + 1] = 0
  end
end
allow_full()
-- Where the set was lost the first lease that is back brings it along.
if #leases > 0 then
  leases[#leases + 1] = '+inf'
  leases[#leases + 1] = FOOT
end
many('ZADD', key('lease'), leases, 2)
return answers
