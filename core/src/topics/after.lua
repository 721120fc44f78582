-- Reads the messages right after a position, all of them or none.
-- KEYS, ARGV[1..7]: see log.lua
-- ARGV[8] epoch   ARGV[9] offset   ARGV[10] messages at most
-- Result: epoch, offset of the newest message, then 'epoch-changed', 'ahead', 'too-old' or 'kept',
--         then of each message its offset, time, event, data
open()
keep()
local kept = evict()
local result = { topic.epoch, int(topic.top) }
local behind = topic.top - tonumber(ARGV[9])
if ARGV[8] ~= topic.epoch then
  result[3] = 'epoch-changed'
elseif behind < 0 then
  result[3] = 'ahead'
elseif behind > kept then
  result[3] = 'too-old'
else
  result[3] = 'kept'
  if behind > 0 and ARGV[10] ~= '0' then
    local offset = topic.top - behind
    local rows = redis.call('XRANGE', KEYS[2], int(offset + 1) .. '-0', '+', 'COUNT', ARGV[10])
    for _, row in ipairs(rows) do
      offset = offset + 1
      local fields = row[2]
      local n = #result
      result[n + 1], result[n + 2], result[n + 3], result[n + 4] = int(offset), fields[2], fields[4], fields[6]
    end
  end
end
return result
