-- Compares standings with those held.
-- KEYS, ARGV[1..9]: see log.lua, board.lua
-- ARGV[10..] standings, five arguments each
-- Result: of each that differs its place (from 0) and the version held (empty: none); 'unbuilt' when the board has no
-- marker of this schema
if not marked() then
  return { 'unbuilt' }
end
local result = {}
for i = 10, #ARGV, 5 do
  local held = redis.call('HGET', KEYS[5], ARGV[i])
  local version, score, member
  if held then
    version, score, member = string.match(held, '^(%S+) (%S+) (%S+) ')
  end
  if version ~= ARGV[i + 1] or score ~= ARGV[i + 2] or member ~= ARGV[i + 3]
    or tonumber(redis.call('ZSCORE', KEYS[4], member) or 'nan') ~= tonumber(score) then
    result[#result + 1] = int((i - 10) / 5)
    result[#result + 1] = version or ''
  end
end
return result
