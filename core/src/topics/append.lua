-- Appends messages and announces them; without messages, only tells the position.
-- KEYS, ARGV[1..7]: see log.lua
-- ARGV[8..] event, data of each message
-- Result: epoch, offset of the newest message
open()
local messages = {}
for i = 8, #ARGV, 2 do
  messages[#messages + 1] = { ARGV[i], ARGV[i + 1] }
end
if #messages > 0 then
  append(messages)
else
  keep()
end
return { topic.epoch, int(topic.top) }
