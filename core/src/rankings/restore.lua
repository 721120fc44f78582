-- Takes standings of newer versions without telling viewers.
-- KEYS, ARGV[1..9]: see log.lua, board.lua
-- ARGV[10..] standings, five arguments each
-- Result: nothing
take_all()
-- While a board is built its top is rendered once, at the end.
if marked() then
  render_top()
end
return {}
