-- Accepts updates: one job and the index of its keys, or nothing at all.
-- KEYS: stream of jobs
-- ARGV: base of all keys, job id, seconds a key counts, payload of the job if no update has a key (else empty), then
--       for each update otherwise: its keyed id (empty: keyless), the fingerprint of its body, the update as JSON
-- Returns for each update of a job that was not handed over whole: 'A' accepted, 'R' replayed, 'C' key reused for
-- another body.
local base, job, ttl = ARGV[1], ARGV[2], ARGV[3]
local function push(payload)
  redis.call('HSET', base .. ':job:' .. job, 'payload', payload, 'attempts', 0)
  redis.call('XADD', KEYS[1], '*', 'job', job)
end
if ARGV[4] ~= '' then
  push(ARGV[4])
  return {}
end
local answers, accepted = {}, {}
for i = 5, #ARGV, 3 do
  local id, print, update = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local answer = 'A'
  if id ~= '' then
    local key = base .. ':key:' .. id
    local held = redis.call('GET', key)
    if not held then
      redis.call('SET', key, print .. job, 'EX', ttl)
    elseif string.sub(held, 1, #print) == print then
      answer = 'R'
    else
      answer = 'C'
    end
  end
  answers[#answers + 1] = answer
  if answer == 'A' then
    accepted[#accepted + 1] = update
  end
end
if #accepted > 0 then
  push('{"v":1,"updates":[' .. table.concat(accepted, ',') .. ']}')
end
return answers
