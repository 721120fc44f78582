-- Finds the place right before the first kept message of a Unix second or a later one.
-- KEYS, ARGV[1..7]: see log.lua
-- ARGV[8] Unix second
-- Result: epoch, offset of the newest message, 'whole' when everything of that second and later ones is kept, else 'part',
--         the offset of the place
open()
keep()
local kept = evict()
local second = tonumber(ARGV[8])
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
local whole = second > math.floor(topic.forgotten / 1000000)
return { topic.epoch, int(topic.top), whole and 'whole' or 'part', int(before) }
