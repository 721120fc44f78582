-- Finds the place right before the first message of a Unix second or a later one.
-- KEYS, ARGV[1..6]: see log.lua
-- ARGV[7] Unix second
-- Result: epoch, offset of the newest message, then 'too-old', or 'kept' and the offset of the place
open()
keep()
local kept = evict()
local second = tonumber(ARGV[7])
if second <= math.floor(topic.forgotten / 1000000) then
  return { topic.epoch, int(topic.top), 'too-old' }
end
-- Times never fall within a log: halve the offsets between the last one before the second and the first one in it.
local before, from = topic.top - kept, topic.top + 1
while from - before > 1 do
  local middle = math.floor((before + from) / 2)
  local id = int(middle) .. '-0'
  local row = redis.call('XRANGE', KEYS[2], id, id)[1]
  if tonumber(row[2][2]) >= second * 1000000 then
    from = middle
  else
    before = middle
  end
end
return { topic.epoch, int(topic.top), 'kept', int(before) }
