-- Marks a board as whole and begins a new life of its topic: standings that were restored were never announced, so
-- viewers have to begin again with a snapshot.
-- KEYS, ARGV[1..9]: see log.lua, board.lua
-- ARGV[10] names the attempt that began
-- Result: 'built', or 'superseded' when another attempt began since or the board was lost again
if redis.call('HGET', KEYS[3], 'building') ~= ARGV[10] then
  return { 'superseded' }
end
redis.call('HDEL', KEYS[3], 'building')
redis.call('HSET', KEYS[3], 'schema', ARGV[9])
render_top()
open()
begin()
redis.call('PUBLISH', ARGV[6], head())
return { 'built' }
