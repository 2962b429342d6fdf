-- Sets what is set for a queue. ARGV from 4: names and values; '' unsets.
for i = 4, #ARGV, 2 do
  local name, value = ARGV[i], ARGV[i + 1]
  if value == '' then
    redis.call('HDEL', key('meta'), name)
  else
    redis.call('HSET', key('meta'), name, value)
  end
  -- Groups may have more room now.
  if name == 'group_concurrency' and tonumber(value) ~= meta.group_concurrency then
    meta.group_concurrency, meta.unparked = tonumber(value), 0
  end
end
redis.call('HSET', key('meta'), 'limited', 1)
unpark(1000)
rung = true
flush()
return 1
