-- Settles jobs that were worked on: finished ones are gone, failed ones wait for their next try.
-- KEYS: stream of jobs, sorted set of delayed jobs
-- ARGV: base of all keys, group, then for each job: entry id, job id, 'done', 'failed' or 'back', and the error
-- A job is settled by whoever still holds its entry; a second settlement changes nothing.
local base, group = ARGV[1], ARGV[2]
for i = 3, #ARGV, 4 do
  local entry, job, outcome, reason = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local key = base .. ':job:' .. job
  if redis.call('XACK', KEYS[1], group, entry) == 1 then
    redis.call('XDEL', KEYS[1], entry)
    if outcome == 'done' then
      redis.call('DEL', key)
    elseif outcome == 'back' then
      redis.call('XADD', KEYS[1], '*', 'job', job)
    elseif redis.call('EXISTS', key) == 1 then
      redis.call('HINCRBY', key, 'attempts', 1)
      redis.call('HSET', key, 'error', reason)
      local due = redis.call('HGET', key, 'due') or 0
      redis.call('HDEL', key, 'due')
      redis.call('ZADD', KEYS[2], due, job)
    end
  end
end
return 0
