-- Takes cells out of a bucket: GCRA (the generic cell rate algorithm), on Redis's clock.
-- KEYS: the bucket: "<µs of its last use> <µs from then until it is full again>"; gone once it is full
-- ARGV: run id (unused), cells wanted, cells of a full bucket, µs in which an empty one becomes full
-- Result: cells granted, cells left, µs until there is a cell again (0: all wanted were granted), µs until it is full
local want, count, period = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cell = period / count
-- The theoretical arrival time is kept as a difference: the sum would lose the digits that fast limits need.
local debt = 0
local used, owed = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) ([%d.]+)$')
if used then
  -- A clock that was set back refills nothing until it moves on; a limit may have been made smaller meanwhile.
  debt = math.max(0, math.min(period, tonumber(owed)) - math.max(0, now - tonumber(used)))
end
local left = math.floor((period - debt) / cell + 0.000001)
local granted = math.min(want, left)
if granted > 0 then
  debt = debt + granted * cell
  left = left - granted
  local life = string.format('%.0f', math.ceil(debt / 1000))
  redis.call('SET', KEYS[1], string.format('%.0f %.6f', now, debt), 'PX', life)
end
local wait = 0
if granted < want then
  wait = math.max(1, math.ceil(debt + cell - period))
end
local answer = {}
for i, number in ipairs({ granted, left, wait, math.ceil(debt) }) do
  answer[i] = string.format('%.0f', number)
end
return answer
