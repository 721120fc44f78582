-- Replaces a job by several, in whose payloads its updates go on.
-- KEYS: stream of jobs
-- ARGV: base of all keys, group, entry id and job id of the old one, seconds a key counts, how many jobs,
--       then for each: job id, payload, how many updates, and for each of those: id, fingerprint
local base, group, entry, old, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if redis.call('XACK', KEYS[1], group, entry) == 0 then
  return 0
end
redis.call('XDEL', KEYS[1], entry)
redis.call('DEL', base .. ':job:' .. old)
local at = 7
for _ = 1, tonumber(ARGV[6]) do
  local job, payload, updates = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  redis.call('HSET', base .. ':job:' .. job, 'payload', payload, 'attempts', 0)
  redis.call('XADD', KEYS[1], '*', 'job', job)
  for _ = 1, updates do
    redis.call('SET', base .. ':key:' .. ARGV[at], ARGV[at + 1] .. job, 'EX', ttl)
    at = at + 2
  end
end
return 1
