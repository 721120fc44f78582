-- Takes standings of newer versions, appends their updates and a changed top to the topic, and announces them.
-- KEYS, ARGV[1..9]: see log.lua, board.lua
-- ARGV[10..] standings, five arguments each
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

local taken, last = take_all()
if #taken > 0 then
  local messages = {}
  for _, one in ipairs(taken) do
    local i, old = one[1], one[2]
    if old ~= ARGV[i + 2] then
      -- Ranks are read after all changes, so that one batch's messages agree with each other.
      local now = last[ARGV[i]]
      local score = ARGV[now + 2]
      messages[#messages + 1] = { 'update', '{"user":' .. ARGV[now + 4] .. ',"score":' .. score .. ',"userId":' .. ARGV[i]
        .. ',"rank":' .. int(rank_of(score)) .. ',"increment":' .. difference(ARGV[i + 2], old) .. '}' }
    end
  end
  local top = render_top()
  if top then
    messages[#messages + 1] = { 'top', top }
  end
  if #messages > 0 then
    append(messages)
  end
end
return { int(#taken) }
