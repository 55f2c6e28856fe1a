"""What memory does in Redis in one step, in Lua. A conversation's keys stand in one slot.

KEYS of ``PUT``: recent turns, turns to fold, summary. A turn that is no longer kept word for word goes to those to fold in the
step that takes it from the recent ones, so that no death of a process comes between.
"""

from __future__ import annotations

MOST_TO_FOLD = 200
"""Turns that wait for the summary, at most: where nobody folds, the oldest fade without one."""

# ARGV: turn id, value, turns kept, seconds to live, whether a known turn is replaced, turns to fold at most.
_PUT = """
if ARGV[5] == '0' then
  if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 or redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
"""
# KEYS 4 to 6: the old names of the three. What the new ones already know wins; a second summary stays for who merges it.
_MOVE = """
for place = 1, 2 do
  local moved = redis.call('HGETALL', KEYS[place + 3])
  for i = 1, #moved, 2 do redis.call('HSETNX', KEYS[place], moved[i], moved[i + 1]) end
  redis.call('DEL', KEYS[place + 3])
end
if redis.call('EXISTS', KEYS[6]) == 1 then redis.call('RENAMENX', KEYS[6], KEYS[3]) end
"""
_TRIM = """
local function surplus(key, most, other)
  local all = redis.call('HGETALL', key)
  local extra = #all / 2 - tonumber(most)
  if extra <= 0 then return end
  local order = {}
  for i = 1, #all, 2 do order[#order + 1] = {all[i + 1], all[i]} end
  table.sort(order, function(a, b) return a[1] < b[1] end)
  for i = 1, extra do
    redis.call('HDEL', key, order[i][2])
    if other then redis.call('HSET', other, order[i][2], order[i][1]) end
  end
end
local to_fold = tonumber(ARGV[6])
surplus(KEYS[1], ARGV[3], to_fold > 0 and KEYS[2] or nil)
surplus(KEYS[2], to_fold)
for place = 1, 3 do redis.call('EXPIRE', KEYS[place], ARGV[4]) end
return redis.call('HLEN', KEYS[2])
"""

PUT = _PUT + _TRIM
MOVE = _MOVE + _TRIM

FOLD = """
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return 0 end
for i = 4, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then return 0 end
end
if ARGV[2] == '' then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3]) end
for i = 4, #ARGV, 2 do redis.call('HDEL', KEYS[1], ARGV[i]) end
return 1
"""
"""KEYS: turns to fold, summary. ARGV: the summary as it was read, the new one, seconds to live, then each folded turn's id and
value. Nothing happens if a word of it changed meanwhile: who forgot something must not find it in a summary again."""

DROP = """
local gone = 0
for i = 1, #ARGV do
  gone = gone + redis.call('HDEL', KEYS[1], ARGV[i]) + redis.call('HDEL', KEYS[2], ARGV[i])
end
return gone
"""
"""KEYS: recent turns, turns to fold. ARGV: turn ids."""

JOIN = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] or (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[4])
redis.call('DEL', KEYS[2])
return 1
"""
"""KEYS: the summary, one that joins it and goes. ARGV: both as they were read, the joined one, seconds to live."""
