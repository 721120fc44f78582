-- Library of every script that touches a board. It follows the library of topics.
--
-- KEYS[1..2], ARGV[1..6]: see log.lua
-- KEYS[3] hash of the board: schema (the marker of a whole board), top (JSON as viewers were last told), building
-- KEYS[4] sorted set: score -> 16 hexadecimal digits of (largest time - reached_at), 14 of (2^53-1 - user id), so that
--         the reverse order is: higher score, earlier time, lower id
-- KEYS[5] hash: user id -> "<version> <score> <member of the sorted set> <name as JSON>"
-- ARGV[7] rows of the top   ARGV[8] schema that this program understands
-- Standings are five arguments each: user id, version, score, member, name as JSON. Names never pass through
-- Lua's own JSON, and integers are exact up to 2^53.

-- Whether the board is whole: keys can be lost one by one.
local function marked()
  return redis.call('HGET', KEYS[3], 'schema') == ARGV[8]
    and redis.call('ZCARD', KEYS[4]) == redis.call('HLEN', KEYS[5])
end

-- Takes the standing whose arguments begin at i, if its version is newer; returns the score held before.
local function take(i)
  local user, version, score, member = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local held, old, old_member = redis.call('HGET', KEYS[5], user), '0', nil
  if held then
    local held_version, held_score, held_member = string.match(held, '^(%S+) (%S+) (%S+) ')
    if tonumber(held_version) >= tonumber(version) then
      return nil
    end
    old, old_member = held_score, held_member
  end
  -- First the write that needs memory: a full Redis refuses it, and the script ends before it changed anything.
  redis.call('HSET', KEYS[5], user, table.concat({ version, score, member, ARGV[i + 4] }, ' '))
  if old_member and old_member ~= member then
    redis.call('ZREM', KEYS[4], old_member)
  end
  redis.call('ZADD', KEYS[4], score, member)
  return old
end

-- Competition rank of a score: equal scores share it.
local function rank_of(score)
  return 1 + redis.call('ZCOUNT', KEYS[4], '(' .. score, '+inf')
end

-- Rows first .. last (from 0) as { rank, user id, name as JSON, score }.
local function rows(first, last)
  local found, result = redis.call('ZREVRANGE', KEYS[4], first, last, 'WITHSCORES'), {}
  local previous, rank
  for i = 1, #found, 2 do
    local user = int(9007199254740991 - tonumber(string.sub(found[i], 17), 16))
    local score = int(tonumber(found[i + 1]))
    if score ~= previous then
      rank = previous and first + (i + 1) / 2 or rank_of(score)
      previous = score
    end
    local name = string.match(redis.call('HGET', KEYS[5], user), '^%S+ %S+ %S+ (.*)$')
    result[#result + 1] = { int(rank), user, name, score }
  end
  return result
end

-- Renders the top anew; returns it if it changed.
local function render_top()
  local lines = {}
  for i, row in ipairs(rows(0, tonumber(ARGV[7]) - 1)) do
    lines[i] = '{"rank":' .. row[1] .. ',"userId":' .. row[2] .. ',"user":' .. row[3] .. ',"score":' .. row[4] .. '}'
  end
  local top = '[' .. table.concat(lines, ',') .. ']'
  if top ~= (redis.call('HGET', KEYS[3], 'top') or '[]') then
    redis.call('HSET', KEYS[3], 'top', top)
    return top
  end
end
