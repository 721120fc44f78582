-- Library of every script that touches a board. It follows the library of topics.
--
-- KEYS[1..2], ARGV[1..7]: see log.lua
-- KEYS[3] hash of the board: schema (the marker of a whole board), top (JSON as viewers were last told), building
-- KEYS[4] sorted set: score -> 16 hexadecimal digits of (largest time - reached_at), 14 of (2^53-1 - user id), so that
--         the reverse order is: higher score, earlier time, lower id
-- KEYS[5] hash: user id -> "<version> <score> <member of the sorted set> <name as JSON>"
-- ARGV[8] rows of the top   ARGV[9] schema that this program understands
-- Standings are five arguments each: user id, version, score, member, name as JSON. Names never pass through
-- Lua's own JSON, and integers are exact up to 2^53.

-- Whether the board is whole: keys can be lost one by one.
local function marked()
  return redis.call('HGET', KEYS[3], 'schema') == ARGV[9]
    and redis.call('ZCARD', KEYS[4]) == redis.call('HLEN', KEYS[5])
end

-- Takes the standings whose versions are newer: one command of each kind for all of them, since a call out of a script
-- costs more than what it does. Returns { place of its first argument, score held before } of each that was taken, in
-- order, and by user id the place of the last one.
local function take_all()
  local users, held, taken, last = {}, {}, {}, {}
  for i = 10, #ARGV, 5 do
    users[#users + 1] = ARGV[i]
  end
  if #users == 0 then
    return taken, last
  end
  for i, row in ipairs(redis.call('HMGET', KEYS[5], unpack(users))) do
    if row then
      local version, score, member = string.match(row, '^(%S+) (%S+) (%S+) ')
      held[users[i]] = { version = tonumber(version), score = score, member = member }
    end
  end
  for i = 10, #ARGV, 5 do
    local user, version = ARGV[i], tonumber(ARGV[i + 1])
    local row = held[user] or { score = '0' }
    if not row.version or row.version < version then
      taken[#taken + 1] = { i, row.score }
      row.version, row.score = version, ARGV[i + 2]
      held[user], last[user] = row, i
    end
  end
  local rows, gone, ranked = {}, {}, {}
  for _, one in ipairs(taken) do
    local i = one[1]
    local user, member = ARGV[i], ARGV[i + 3]
    if last[user] == i then
      rows[#rows + 1] = user
      rows[#rows + 1] = table.concat({ ARGV[i + 1], ARGV[i + 2], member, ARGV[i + 4] }, ' ')
      ranked[#ranked + 1] = ARGV[i + 2]
      ranked[#ranked + 1] = member
      local old = held[user].member
      if old and old ~= member then
        gone[#gone + 1] = old
      end
    end
  end
  if #rows > 0 then
    -- First the write that needs memory: a full Redis refuses it, and the script ends before it changed anything.
    redis.call('HSET', KEYS[5], unpack(rows))
    if #gone > 0 then
      redis.call('ZREM', KEYS[4], unpack(gone))
    end
    redis.call('ZADD', KEYS[4], unpack(ranked))
  end
  return taken, last
end

-- Competition rank of a score: equal scores share it.
local function rank_of(score)
  return 1 + redis.call('ZCOUNT', KEYS[4], '(' .. score, '+inf')
end

-- Rows first .. last (from 0) as { rank, user id, name as JSON, score }.
local function rows(first, last)
  local found, users, result = redis.call('ZREVRANGE', KEYS[4], first, last, 'WITHSCORES'), {}, {}
  for i = 1, #found, 2 do
    users[#users + 1] = int(9007199254740991 - tonumber(string.sub(found[i], 17), 16))
  end
  if #users == 0 then
    return result
  end
  local previous, rank
  for at, held in ipairs(redis.call('HMGET', KEYS[5], unpack(users))) do
    local score = int(tonumber(found[2 * at]))
    if score ~= previous then
      rank = previous and first + at or rank_of(score)
      previous = score
    end
    result[at] = { int(rank), users[at], string.match(held, '^%S+ %S+ %S+ (.*)$'), score }
  end
  return result
end

-- Renders the top anew; returns it if it changed.
local function render_top()
  local lines = {}
  for i, row in ipairs(rows(0, tonumber(ARGV[8]) - 1)) do
    lines[i] = '{"rank":' .. row[1] .. ',"userId":' .. row[2] .. ',"user":' .. row[3] .. ',"score":' .. row[4] .. '}'
  end
  local top = '[' .. table.concat(lines, ',') .. ']'
  if top ~= (redis.call('HGET', KEYS[3], 'top') or '[]') then
    redis.call('HSET', KEYS[3], 'top', top)
    return top
  end
end
