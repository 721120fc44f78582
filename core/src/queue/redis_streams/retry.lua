-- Queues dead letters again, each as a new job; one that is no longer dead is left alone.
-- KEYS: stream of jobs, hash of dead letters, sorted set of their ids
-- ARGV: base of all keys, seconds a key counts, then for each letter: its id, the new job's id, its payload,
--       how many updates, and for each of those: id, fingerprint
-- Returns the ids of those that were queued.
local base, ttl = ARGV[1], ARGV[2]
local queued, at = {}, 3
while at <= #ARGV do
  local id, job, payload, updates = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  at = at + 4
  local dead = redis.call('HDEL', KEYS[2], id) == 1
  if dead then
    redis.call('ZREM', KEYS[3], id)
    redis.call('HSET', base .. ':job:' .. job, 'payload', payload, 'attempts', 0)
    redis.call('XADD', KEYS[1], '*', 'job', job)
    queued[#queued + 1] = id
  end
  for _ = 1, updates do
    if dead then
      redis.call('SET', base .. ':key:' .. ARGV[at], ARGV[at + 1] .. job, 'EX', ttl)
    end
    at = at + 2
  end
end
return queued
