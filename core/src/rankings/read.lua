-- Reads a board.
-- KEYS, ARGV[1..9]: see log.lua, board.lua
-- ARGV[10] 'marker', 'size', 'snapshot', 'page' or 'row'
-- ARGV[11], ARGV[12] offset and number of rows of a page; ARGV[11] user id of a row
-- Result: 'unbuilt' when the board has no marker of this schema, else 'built' and
--   size: how many users;  snapshot: epoch, offset of the newest message, top as JSON;
--   page, row: of each row its rank, user id, name as JSON, score
if not marked() then
  return { 'unbuilt' }
end
local result = { 'built' }
if ARGV[10] == 'snapshot' then
  open()
  keep()
  return { 'built', topic.epoch, int(topic.top), redis.call('HGET', KEYS[3], 'top') or '[]' }
elseif ARGV[10] == 'size' then
  return { 'built', int(redis.call('ZCARD', KEYS[4])) }
elseif ARGV[10] == 'page' and ARGV[12] ~= '0' then
  local first = tonumber(ARGV[11])
  for _, row in ipairs(rows(first, first + tonumber(ARGV[12]) - 1)) do
    for _, field in ipairs(row) do
      result[#result + 1] = field
    end
  end
elseif ARGV[10] == 'row' then
  local held = redis.call('HGET', KEYS[5], ARGV[11])
  if held then
    local score, name = string.match(held, '^%S+ (%S+) %S+ (.*)$')
    return { 'built', int(rank_of(score)), ARGV[11], name, score }
  end
end
return result
