-- The lines of a job's log. ARGV[4]: the id. Gives false if there is no such job.
if redis.call('HEXISTS', key('job'), ARGV[4]) == 0 then return false end
return redis.call('LRANGE', key('log:' .. ARGV[4]), 0, -1)
