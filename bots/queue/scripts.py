"""The atomic steps of the inbox, as Lua scripts. All times are those of Redis's clock.

Invariants between any two steps: a conversation with queued messages has exactly one entry in the ready stream, and the id of
that entry is stored as the conversation's mark. Only a step that finds the queue empty deletes mark and entry, so no wake-up
is lost. A worker must own the lease of the conversation that it handles; every step that writes for it checks the token first.
A script may run twice, since the client repeats a call whose connection broke.
"""

from __future__ import annotations

from rag.store.lease import LEASE_FUNCTIONS

GROUP = "workers"
"""The consumer group on the ready stream."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_ENQUEUE = """
local function enqueue(queue, messages, mark, ready, waiting, turn, body, conversation)
    redis.call('RPUSH', queue, turn)
    redis.call('HSET', messages, turn, body)
    redis.call('ZADD', waiting, now, turn)
    -- With a mark the conversation is in the ready stream already, or in work; its worker comes to this message next.
    if redis.call('EXISTS', mark) == 0 then
        redis.call('SET', mark, redis.call('XADD', ready, '*', 'conversation', conversation))
    end
end
"""

_REMOVE = """
local function remove(queue, messages, tries, waiting, turn)
    local removed = redis.call('LREM', queue, 1, turn)
    redis.call('HDEL', messages, turn)
    redis.call('HDEL', tries, turn)
    redis.call('ZREM', waiting, turn)
    return removed
end
"""

_READY = (
    """
local function retire(ready, mark, lease, entry)
    redis.call('XACK', ready, '"""
    + GROUP
    + """', entry)
    redis.call('XDEL', ready, entry)
    if mark then redis.call('DEL', mark, lease) end
end

local function announce_again(ready, mark, lease, entry, conversation)
    retire(ready, mark, lease, entry)
    redis.call('SET', mark, redis.call('XADD', ready, '*', 'conversation', conversation))
end
"""
)

ACCEPT = (
    _NOW
    + _ENQUEUE
    + """
local queue, messages, mark, ready, waiting, seen_of = unpack(KEYS, 1, 6)
local turn, body, conversation, seconds, arrivals = unpack(ARGV, 1, 5)
for i = 7, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then return 0 end
end
if redis.call('HEXISTS', messages, turn) == 1 then return 0 end
for i = 7, #KEYS do
    redis.call('SET', KEYS[i], turn, 'EX', seconds)
    redis.call('ZADD', seen_of, now, ARGV[i - 1])
end
redis.call('ZREMRANGEBYSCORE', seen_of, '-inf', now - seconds * 1000)
redis.call('EXPIRE', seen_of, seconds)
enqueue(queue, messages, mark, ready, waiting, turn, body, conversation)
-- pcall: a user of Redis who may not publish must still be able to accept messages.
if redis.call('LLEN', queue) > 1 then redis.pcall('PUBLISH', arrivals, conversation) end
return 1
"""
)
"""KEYS: queue messages mark ready waiting seen_of seen… ARGV: turn body conversation seconds arrivals member-of-seen_of…

Stores a message and puts its conversation into the ready stream; returns 0 if the message was accepted before. If others are
queued before it, the conversation's name is published, so that the worker that answers there notices."""

TAKE = (
    LEASE_FUNCTIONS
    + _READY
    + """
local lease, queue, messages, tries, mark, ready = unpack(KEYS)
local token, entry, milliseconds, step = unpack(ARGV)
-- An entry that is not the mark is left over from an earlier round: the conversation has another entry, or is empty.
if redis.call('GET', mark) ~= entry then
    retire(ready, nil, nil, entry)
    return {'gone'}
end
if not acquire_lease(lease, token, milliseconds) then return {'held'} end
local turn = redis.call('LINDEX', queue, 0)
if not turn then
    retire(ready, mark, lease, entry)
    return {'gone'}
end
local begun = redis.call('HINCRBY', tries, turn, step)
-- A step of 0 continues the try that was begun; when none is counted (it was taken back), this one is the first.
if begun == 0 then begun = redis.call('HINCRBY', tries, turn, 1) end
return {'head', turn, redis.call('HGET', messages, turn), begun}
"""
)
"""Takes the lease and begins a try of the first message, unless the queue is empty or another worker has the lease."""

FINISH = (
    LEASE_FUNCTIONS
    + _NOW
    + _REMOVE
    + _READY
    + """
local lease, queue, messages, tries, mark, ready, waiting, outbox, aside = unpack(KEYS)
local token, entry, turn, conversation, stop, setting_aside = unpack(ARGV, 1, 6)
if not owns_lease(lease, token) then return {'lost'} end
-- A second run of this script finds the message removed, and must not post its entries again.
if remove(queue, messages, tries, waiting, turn) == 1 then
    if setting_aside ~= '' then redis.call('HSET', aside, turn, setting_aside) end
    for i = 7, #ARGV do redis.call('XADD', outbox, '*', 'entry', ARGV[i]) end
end
local following = redis.call('LINDEX', queue, 0)
if not following then
    retire(ready, mark, lease, entry)
    return {'gone'}
end
if stop == '1' then
    announce_again(ready, mark, lease, entry, conversation)
    return {'gone'}
end
return {'head', following, redis.call('HGET', messages, following), redis.call('HINCRBY', tries, following, 1)}
"""
)
"""Removes the handled message from the queue, posts its outbox entries, and begins the next one or releases the conversation."""

HAND_BACK = (
    LEASE_FUNCTIONS
    + _READY
    + """
local lease, queue, tries, mark, ready = unpack(KEYS)
local token, entry, conversation, uncount = unpack(ARGV)
if redis.call('GET', mark) ~= entry then return 0 end
if token ~= '*' and lease_of_another(lease, token) then return 0 end
local turn = redis.call('LINDEX', queue, 0)
if turn and uncount == '1' and (tonumber(redis.call('HGET', tries, turn)) or 0) > 0 then
    redis.call('HINCRBY', tries, turn, -1)
end
announce_again(ready, mark, lease, entry, conversation)
return 1
"""
)
"""Releases a conversation whose queue is not empty, so that any worker can take it at once. The token ``*`` breaks the lease."""

RENEW = (
    LEASE_FUNCTIONS
    + """
local ready, consumer, milliseconds = KEYS[1], ARGV[1], ARGV[2]
local lost = {}
for i = 2, #KEYS do
    local entry, token = ARGV[i * 2 - 1], ARGV[i * 2]
    if renew_lease(KEYS[i], token, milliseconds) then
        redis.call('XCLAIM', ready, '"""
    + GROUP
    + """', consumer, 0, entry, 'JUSTID')
    else
        lost[#lost + 1] = entry
    end
end
return lost
"""
)
"""Renews many leases, and resets the idle times of their entries in the same step, so that both expire at the same moment.

Returns the entries whose leases were lost."""

PUT_BACK = (
    _NOW
    + _ENQUEUE
    + """
local aside, queue, messages, mark, ready, waiting = unpack(KEYS)
local turn, body, conversation = unpack(ARGV)
if redis.call('HDEL', aside, turn) == 0 then return 0 end
if redis.call('HEXISTS', messages, turn) == 1 then return 1 end
enqueue(queue, messages, mark, ready, waiting, turn, body, conversation)
return 1
"""
)
"""Moves a message that was set aside back to the end of its conversation's queue."""

REMOVE = (
    _REMOVE
    + """
local queue, messages, tries, waiting, aside = unpack(KEYS)
local removed = 0
for _, turn in ipairs(ARGV) do
    local queued = remove(queue, messages, tries, waiting, turn)
    if queued + redis.call('HDEL', aside, turn) > 0 then removed = removed + 1 end
end
return removed
"""
)
"""Deletes waiting and set-aside messages by turn id. Returns how many turns there were."""

DROP = (
    _REMOVE
    + """
local queue, messages, tries, waiting = unpack(KEYS)
local turn = ARGV[1]
local begun = tonumber(redis.call('HGET', tries, turn)) or 0
if begun > 0 or redis.call('HEXISTS', messages, turn) == 0 then return 0 end
remove(queue, messages, tries, waiting, turn)
return 1
"""
)
"""Deletes a waiting message of which no try was begun; returns 0 for any other."""
