-- Gives a claim back if this job holds it; its newest slot stays.
-- KEYS: hash of the claim
-- ARGV: job id
if redis.call('HGET', KEYS[1], 'job') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'job', 'until')
end
return 0
