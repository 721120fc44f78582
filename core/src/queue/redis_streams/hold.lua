-- Takes a claim for a job, or moves its end, unless another unfinished job holds it.
-- KEYS: hash of the claim
-- ARGV: base of all keys, job id, microseconds the claim lasts
-- Returns whether the job holds it now.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.call('HMGET', KEYS[1], 'job', 'until')
local holder = held[1]
if holder and holder ~= ARGV[2] and tonumber(held[2]) > now
    and redis.call('EXISTS', ARGV[1] .. ':job:' .. holder) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'job', ARGV[2], 'until', string.format('%.0f', now + tonumber(ARGV[3])))
return 1
