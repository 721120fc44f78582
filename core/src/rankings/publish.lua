-- Takes standings of newer versions, appends their updates and a changed top to the topic, and announces them.
-- KEYS, ARGV[1..8]: see log.lua, board.lua
-- ARGV[9..] standings, five arguments each
-- Result: how many were news; 'unbuilt' when the board has no marker of this schema
if not marked() then
  return { 'unbuilt' }
end
open()

-- new - old, exact beyond 2^53 too: there signs differ, and halves of fifteen digits add up without rounding.
local function difference(new, old)
  local a, b = tonumber(new), tonumber(old)
  if math.abs(a - b) < 9007199254740992 then
    return int(a - b)
  end
  local sign = a < b and '-' or ''
  a, b = math.abs(a), math.abs(b)
  local low = a % 100000000 + b % 100000000
  local high = math.floor(a / 100000000) + math.floor(b / 100000000) + math.floor(low / 100000000)
  return sign .. int(high) .. string.format('%08.0f', low % 100000000)
end

local news, changes, messages = 0, {}, {}
for i = 9, #ARGV, 5 do
  local old = take(i)
  if old then
    news = news + 1
    if old ~= ARGV[i + 2] then
      changes[#changes + 1] = { ARGV[i], difference(ARGV[i + 2], old) }
    end
  end
end
if news > 0 then
  -- Ranks are read after all changes, so that one batch's messages agree with each other.
  for i, change in ipairs(changes) do
    local held = redis.call('HGET', KEYS[5], change[1])
    local score, name = string.match(held, '^%S+ (%S+) %S+ (.*)$')
    messages[i] = { 'update', '{"user":' .. name .. ',"score":' .. score .. ',"userId":' .. change[1]
      .. ',"rank":' .. int(rank_of(score)) .. ',"increment":' .. change[2] .. '}' }
  end
  local top = render_top()
  if top then
    messages[#messages + 1] = { 'top', top }
  end
  if #messages > 0 then
    append(messages)
  end
end
return { int(news) }
