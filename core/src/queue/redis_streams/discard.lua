-- Forgets dead letters, and the keys of their updates where those still are of the letter's job.
-- KEYS: hash of dead letters, sorted set of their ids
-- ARGV: base of all keys, length of a fingerprint, then for each letter: its id, how many updates, and their ids
-- Returns the ids of those that were dead.
local base, print = ARGV[1], tonumber(ARGV[2])
local gone, at = {}, 3
while at <= #ARGV do
  local id, updates = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  local letter = redis.call('HGET', KEYS[1], id)
  if letter then
    redis.call('HDEL', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
    gone[#gone + 1] = id
    local job = cjson.decode(letter)['job']
    for i = at, at + updates - 1 do
      local key = base .. ':key:' .. ARGV[i]
      local held = redis.call('GET', key)
      if held and string.sub(held, print + 1) == job then
        redis.call('DEL', key)
      end
    end
  end
  at = at + updates
end
return gone
