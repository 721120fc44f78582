-- Hands jobs to a consumer: delayed ones that are due join the stream, orphans of silent consumers are claimed,
-- then new ones are read.
-- KEYS: stream of jobs, sorted set of delayed jobs
-- ARGV: base of all keys, group, consumer, how many, milliseconds after which a job in silent hands is an orphan
--       (empty: do not look), entry after which the consumer takes up what it had in hand (empty: it did)
-- Returns the entry to take up after next time (empty: nothing is left), and for each job: entry id, job id, payload,
-- failed tries, deliveries that ended in a crash.
local base, group, consumer, count, silent, resume = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- In chunks: a long list would not fit on Lua's stack.
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 500)
for _, job in ipairs(due) do
  redis.call('ZREM', KEYS[2], job)
  redis.call('XADD', KEYS[1], '*', 'job', job)
end

local handed = {}
local function hand(entry, crashed)
  local id, job = entry[1], entry[2] and entry[2][2]
  local held = job and redis.call('HMGET', base .. ':job:' .. job, 'payload', 'attempts')
  if not held or not held[1] then
    -- Acknowledged before, or trimmed by hand: only its entry was left.
    redis.call('XACK', KEYS[1], group, id)
    redis.call('XDEL', KEYS[1], id)
    return
  end
  local crashes = 0
  if crashed then
    crashes = redis.call('HINCRBY', base .. ':job:' .. job, 'crashes', 1)
  end
  handed[#handed + 1] = { id, job, held[1], tonumber(held[2]) or 0, crashes }
end

while resume ~= '' and #handed < count do
  local most = count - #handed
  local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', most, 'STREAMS', KEYS[1], resume)
  local held = read and read[1][2] or {}
  for _, entry in ipairs(held) do
    resume = entry[1]
    hand(entry, false)
  end
  if #held < most then
    resume = ''
  end
end
if silent ~= '' then
  local claimed = redis.call('XAUTOCLAIM', KEYS[1], group, consumer, silent, '0-0', 'COUNT', count)
  for _, entry in ipairs(claimed[2]) do
    if entry then
      hand(entry, true)
    end
  end
end
if #handed < count then
  local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count - #handed, 'STREAMS', KEYS[1], '>')
  if read then
    for _, entry in ipairs(read[1][2]) do
      hand(entry, false)
    end
  end
end
return { resume, handed }
