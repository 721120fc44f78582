-- A page of a sorted set, from a place on that need not exist any more: members of one score stand in the order
-- of their bytes, so a place is a score and a member, and is found by halving.
-- KEYS: sorted set
-- ARGV: 'up' or 'down', how many, and where the page before ended (empty: at the beginning): score, member
-- Returns member and score of each.
local up, count = ARGV[1] == 'up', tonumber(ARGV[2])
local score, member = ARGV[3], ARGV[4]

-- Not Lua's own comparison, which follows the server's locale.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x < y
    end
  end
  return #a < #b
end

-- How many stand before the place, and whether the place itself is there.
local function rank_of_place()
  local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', KEYS[1], '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = redis.call('ZRANGE', KEYS[1], middle, middle)[1]
    if found == member then
      return middle, true
    elseif before(found, member) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low, false
end

if score == '' then
  return redis.call(up and 'ZRANGE' or 'ZREVRANGE', KEYS[1], 0, count - 1, 'WITHSCORES')
end
local rank, there = rank_of_place()
if up then
  local first = there and rank + 1 or rank
  return redis.call('ZRANGE', KEYS[1], first, first + count - 1, 'WITHSCORES')
end
-- From the end, the ones before the place are the last `rank` of them.
local first = redis.call('ZCARD', KEYS[1]) - rank
return redis.call('ZREVRANGE', KEYS[1], first, first + count - 1, 'WITHSCORES')
