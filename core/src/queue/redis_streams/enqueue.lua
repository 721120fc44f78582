-- Queues a job unless its slot was taken or another unfinished job holds its claim.
-- KEYS: stream of jobs, sorted set of delayed jobs, hash of the claim
-- ARGV: base of all keys, group, job id, payload, microseconds the claim lasts, slot (empty: none), how far a remembered
--       slot may lie ahead, whether it replaces what a waiting job carries ('1')
-- Returns 'queued' and the job's id, 'claimed' and the holder's, or 'slot' and nothing.
local base, group, job, payload, lasts, slot = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.call('HMGET', KEYS[3], 'job', 'until', 'slot')
if slot ~= '' then
  local ahead = held[3] and tonumber(held[3]) - tonumber(slot)
  if ahead and ahead >= 0 and ahead <= tonumber(ARGV[7]) then
    return { 'slot', '' }
  end
  redis.call('HSET', KEYS[3], 'slot', slot)
end

-- Whether no worker was given a job yet: it waits for its next try, or stands behind the last entry delivered.
local function waits(id)
  if redis.call('ZSCORE', KEYS[2], id) then
    return true
  end
  local delivered = '0-0'
  local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
  for _, fields in ipairs(groups.err and {} or groups) do
    local read = {}
    for i = 1, #fields, 2 do
      read[fields[i]] = fields[i + 1]
    end
    if read['name'] == group then
      delivered = read['last-delivered-id']
    end
  end
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. delivered, '+')) do
    if entry[2][2] == id then
      return true
    end
  end
  return false
end

local holder = held[1]
local ends = tonumber(held[2] or 0)
if holder and ends > now and redis.call('EXISTS', base .. ':job:' .. holder) == 1 then
  if ARGV[8] == '1' and waits(holder) then
    redis.call('HSET', base .. ':job:' .. holder, 'payload', payload)
    if now + lasts > ends then
      redis.call('HSET', KEYS[3], 'until', string.format('%.0f', now + lasts))
    end
  end
  return { 'claimed', holder }
end
redis.call('HSET', base .. ':job:' .. job, 'payload', payload, 'attempts', 0)
redis.call('XADD', KEYS[1], '*', 'job', job)
redis.call('HSET', KEYS[3], 'job', job, 'until', string.format('%.0f', now + lasts))
return { 'queued', job }
