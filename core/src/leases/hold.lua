-- Takes or renews a lease, or gives it back.
-- KEYS: the lease
-- ARGV: run id of the server (unused), holder, milliseconds (0: give it back)
-- Returns 'held' or 'other'.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then
  return { 'other' }
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return { 'held' }
