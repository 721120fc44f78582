-- Library of every script that touches a topic: its state, its log and its announcements.
--
-- KEYS[1] hash of the topic: epoch, top (offset of the newest message ever), latest (its time in µs),
--         forgotten (time of the newest message no longer kept, or when the life began), run (id of the server's life)
-- KEYS[2] stream of its messages: ids <offset>-0, fields t (µs), e (event), d (one line of JSON)
-- ARGV[1] run id of this server   ARGV[2] epoch to begin with, if one must begin
-- ARGV[3] messages kept at most   ARGV[4] age kept at most, in µs   ARGV[5] life of unused keys, in ms
-- ARGV[6] channel   ARGV[7] 1 when its messages survive a restart of the server, else 0

-- Lua would write large integers as 1e+15.
local function int(n)
  return string.format('%.0f', n)
end

local topic = {}

-- Whoever follows a topic keeps it alive. Never the first write of a script that takes something: a full Redis refuses
-- a script at its first write that needs memory, unless it wrote anything before.
local function keep()
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end

-- Begins a new life: cursors of the old one are refused from now on.
local function begin()
  redis.call('DEL', KEYS[1], KEYS[2])
  topic.epoch, topic.top, topic.forgotten = ARGV[2], 0, topic.now
  redis.call('HSET', KEYS[1], 'epoch', topic.epoch, 'top', '0', 'latest', int(topic.now),
    'forgotten', int(topic.now), 'run', ARGV[1])
  keep()
end

-- Whether the log ends where the hash says: a server that lost its last writes lost both or neither, and anything else is
-- no topic that could go on.
local function agrees(top)
  if redis.call('EXISTS', KEYS[2]) == 0 then
    return false
  end
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      return info[i + 1] == top .. '-0'
    end
  end
end

-- Begins a new life with the messages of the old one: only its cursors are refused, since what was written after the
-- last write to the disk is gone, and its offsets will name other messages.
local function survive(held)
  topic.epoch, topic.top, topic.forgotten = ARGV[2], tonumber(held[2]), tonumber(held[4])
  redis.call('HSET', KEYS[1], 'epoch', topic.epoch, 'run', ARGV[1])
  keep()
end

-- Reads the topic. A log that is gone, or a server that was restarted and may have lost its last writes, ends the
-- old life: the same offset would otherwise name two different messages. What survives a restart keeps its messages.
local function open()
  local time = redis.call('TIME')
  local held = redis.call('HMGET', KEYS[1], 'epoch', 'top', 'latest', 'forgotten', 'run')
  topic.now = math.max(tonumber(time[1]) * 1000000 + tonumber(time[2]), tonumber(held[3] or '0'))
  if held[1] and held[5] == ARGV[1] and (held[2] == '0' or redis.call('EXISTS', KEYS[2]) == 1) then
    topic.epoch, topic.top, topic.forgotten = held[1], tonumber(held[2]), tonumber(held[4])
  elseif held[1] and held[5] ~= ARGV[1] and ARGV[7] == '1' and agrees(held[2]) then
    survive(held)
  else
    begin()
  end
end

-- The time of the message at an offset.
local function time_of(offset)
  local id = int(offset) .. '-0'
  return tonumber(redis.call('XRANGE', KEYS[2], id, id)[1][2][2])
end

-- Forgets messages over the limits; returns how many are kept. Offsets have no holes, so it is known which are too many
-- without reading them; those that are too old are sought among the rest.
local function evict()
  local length = redis.call('XLEN', KEYS[2])
  local before, age = topic.top - length, tonumber(ARGV[4])
  local last = before + math.max(length - tonumber(ARGV[3]), 0)
  local step, oldest = 1, last
  while oldest < topic.top and topic.now - time_of(oldest + 1) > age do
    oldest = math.min(oldest + step, topic.top)
    step = step * 2
  end
  -- Too old at `last`, and perhaps not yet at `oldest`: halve what is between.
  while oldest > last do
    local middle = math.ceil((last + oldest) / 2)
    if topic.now - time_of(middle) > age then
      last = middle
    else
      oldest = middle - 1
    end
  end
  if last > before then
    topic.forgotten = time_of(last)
    redis.call('XTRIM', KEYS[2], 'MINID', '=', int(last + 1) .. '-0')
    redis.call('HSET', KEYS[1], 'forgotten', int(topic.forgotten))
  end
  return topic.top - last
end

-- What an announcement begins with; lines of `<event> <data>` follow. None at all says "look again".
local function head()
  return topic.epoch .. ' ' .. int(topic.top + 1) .. ' ' .. int(topic.now)
end

-- Appends messages { event, data }, at least one, and announces them together; `told` is the newest one's data then. A value of a feed is told with its second.
local function append(messages)
  local at, lines = int(topic.now), { head() }
  for i, message in ipairs(messages) do
    local event, data = message[1], message[2]
    if event == 'value' then
      data = '{"timestamp":' .. int(math.floor(topic.now / 1000000)) .. ',"data":' .. data .. '}'
    end
    topic.top, topic.told = topic.top + 1, data
    redis.call('XADD', KEYS[2], int(topic.top) .. '-0', 't', at, 'e', event, 'd', data)
    lines[i + 1] = event .. ' ' .. data
  end
  redis.call('HSET', KEYS[1], 'top', int(topic.top), 'latest', at)
  evict()
  keep()
  redis.call('PUBLISH', ARGV[6], table.concat(lines, '\n'))
end
