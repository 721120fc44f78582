-- Publishes a value of a feed, notes something of its fetches, or tells what is kept.
-- KEYS[1..2], ARGV[1..7]: see log.lua
-- KEYS[3] hash of the feed: offset, at (µs) and data of its newest message, note (JSON)
-- ARGV[8] the value, one line of JSON (empty: none)   ARGV[9] the note (empty: leave it)   ARGV[10] life of the hash, in ms
-- Result: epoch, offset of the newest message, then offset, time, data and note as kept (empty where there is none)
open()
if ARGV[8] ~= '' then
  append({ { 'value', ARGV[8] } })
  redis.call('HSET', KEYS[3], 'offset', int(topic.top), 'at', int(topic.now), 'data', topic.told)
end
if ARGV[9] ~= '' then
  redis.call('HSET', KEYS[3], 'note', ARGV[9])
end
keep()
redis.call('PEXPIRE', KEYS[3], ARGV[10])
local held = redis.call('HMGET', KEYS[3], 'offset', 'at', 'data', 'note')
return { topic.epoch, int(topic.top), held[1] or '', held[2] or '', held[3] or '', held[4] or '' }
