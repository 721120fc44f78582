-- Parks dead letters, each once.
-- KEYS: hash of dead letters, sorted set of their ids by the microsecond they died
-- ARGV: now, then for each letter: id, the letter as JSON
for i = 2, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
  end
end
return 0
