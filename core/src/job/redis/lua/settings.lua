-- Sets what is set for a queue. ARGV from 4: names and values; '' unsets.
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', key('meta'), ARGV[i])
  else
    redis.call('HSET', key('meta'), ARGV[i], ARGV[i + 1])
  end
end
redis.call('HSET', key('meta'), 'limited', 1)
-- Groups may have more room now.
if redis.call('ZCARD', key('parked')) > 0 then
  redis.call('ZUNIONSTORE', key('ready'), 2, key('ready'), key('parked'), 'AGGREGATE', 'MIN')
  redis.call('DEL', key('parked'))
  for _, name in ipairs(redis.call('HKEYS', key('groups'))) do
    redis.call('DEL', key('parked:' .. name))
    group_of(name).parked = 0
  end
end
rung = true
flush()
return 1
