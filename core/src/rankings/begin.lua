-- Begins to build a board: forgets what is held of it, marker included.
-- KEYS, ARGV[1..9]: see log.lua, board.lua
-- ARGV[10] names this attempt
-- Result: nothing
redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5])
redis.call('HSET', KEYS[3], 'building', ARGV[10])
return {}
