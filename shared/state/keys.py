"""Every key and every script in Valkey: what it holds, how long, and what it costs to lose it.

Kafka is the record; this is what any replica must answer in a millisecond. A key's hash tag is a digest of the
conversation, the message or the account it belongs to, so that a script's keys share a cluster slot and no key
name shows who wrote to whom. Times are Unix milliseconds.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

_DAY = 24 * 3600


@lru_cache(16_384)  # a conversation's keys are made several times per record
def digest(*parts: str) -> str:
    """A short, stable, one-way name for values that must not stand in a key."""
    return hashlib.blake2s("\x00".join(parts).encode(), digest_size=12).hexdigest()


class KeySpec(NamedTuple):
    """A family of keys: `prefix`, time to live in seconds since the last write, what it holds, what losing it costs."""

    prefix: str
    ttl: int
    holds: str
    cost_of_loss: str


CONVERSATION = KeySpec(
    "c",
    90 * _DAY,
    "hash: last inbound, address, names, flags, what the state feed last said",
    "the window is unknown until the next inbound; a phone address has to come with the command",
)
QUOTA = KeySpec(
    "q",
    8 * _DAY,
    "sorted set: our messages since the window opened, by time",
    "the quota starts at zero; the provider refuses what is too much",
)
OUTBOX = KeySpec(
    "b",
    8 * _DAY,
    "sorted set: provider refs of our messages by time, where the provider reports reading up to a point",
    "older messages are not marked as read",
)
SEEN = KeySpec(
    "e",
    8 * _DAY,
    "mark: this event is on the inbound topic",
    "a redelivered webhook is published again, with the same ce_id",
)
LEDGER = KeySpec(
    "l",
    3 * _DAY,
    "hash: parts of a command, their provider ids and states",
    "a command that comes again, or whose rest has waited, is sent again from its first part",
)
MESSAGE = KeySpec(
    "m",
    35 * _DAY,
    "string: provider reference of one of our message ids",
    "a reply to it needs the provider's id in the command, or goes out without the reference",
)
SENT = KeySpec(
    "s",
    35 * _DAY,
    "string: command, part and conversation of a provider message id; a possible echo is given less time",
    "receipts of older messages cannot be matched to their command",
)
WAITING = KeySpec(
    "w",
    _DAY,
    "list: statuses that came before their provider message id was known",
    "these statuses are not told; later ones are",
)
THREAD = KeySpec(
    "t",
    180 * _DAY,
    "string: which thread of its conversation a key of a thread or a message belongs to",
    "an answer to an older message begins a thread, under the same id where it brings the root",
)
NOTE = KeySpec(
    "n",
    180 * _DAY,
    "hash: what the channel keeps of a thread for its next message, and what the thread was about last",
    "the next message of ours goes out without subject and references of the thread",
)
ALIAS = KeySpec(
    "a",
    400 * _DAY,
    "string: peer of an alias",
    "a contact known by two names gets two conversations until both names come together again",
)
JOINED = KeySpec(
    "j",
    400 * _DAY,
    "hash: since when a conversation is one (ms), and which one it has become where two were one contact's",
    "a link to the conversation that became part of another one leads to what it was before",
)
CANCELLED = KeySpec("x", 2 * _DAY, "hash: cancel rules of a conversation", "queued messages are sent")
BUCKET = KeySpec(
    "r",
    3600,  # longer than any burst takes to come back: a bucket that is forgotten is full
    "string: when the next send is free (GCRA); lives so long after that moment",
    "a short burst over the provider's rate",
)
LEASE = KeySpec("o", 60, "string: who holds a lock", "two replicas refresh a token at once; the provider decides")
PERIOD = KeySpec(
    "f",
    _DAY,
    "mark: one replica has done what is done once in a period; lives as long as the period, at most so long",
    "it is done once more",
)
CURSOR = KeySpec(
    "u", 30 * _DAY, "string: how far an account has been pulled", "the last updates come again, deduplicated"
)
RATE = KeySpec(
    "p",
    400 * _DAY,
    "string: how fast the provider lets an account send, as it last said",
    "the channel's usual rate until the provider is asked again",
)
SECRET = KeySpec("k", 400 * _DAY, "string: sealed rotating tokens of an account", "the account has to be reconnected")
UPLOAD = KeySpec(
    "g",
    25 * _DAY,  # WhatsApp and TikTok keep an upload for 30 days, Telegram for good; none of them tells when it goes
    "string: the provider's id of a file that an account has uploaded",
    "the file is uploaded once more",
)
PROBED = KeySpec("y", 60, "what `/readyz` writes to see that it can; gone again before the probe ends", "nothing")

ALL = (
    CONVERSATION,
    QUOTA,
    OUTBOX,
    SEEN,
    LEDGER,
    MESSAGE,
    SENT,
    WAITING,
    THREAD,
    NOTE,
    ALIAS,
    JOINED,
    CANCELLED,
    BUCKET,
    LEASE,
    PERIOD,
    CURSOR,
    RATE,
    SECRET,
    UPLOAD,
    PROBED,
)


class ConversationKeys:
    """The keys of one conversation: all in one slot."""

    __slots__ = ("_tag", "cancelled", "joined", "outbox", "quota", "record")

    def __init__(self, conversation_id: str) -> None:
        self._tag = "{" + digest(conversation_id) + "}"
        self.record = f"{CONVERSATION.prefix}:{self._tag}"
        self.quota = f"{QUOTA.prefix}:{self._tag}"
        self.outbox = f"{OUTBOX.prefix}:{self._tag}"
        self.cancelled = f"{CANCELLED.prefix}:{self._tag}"
        self.joined = f"{JOINED.prefix}:{self._tag}"

    def seen(self, event_id: str) -> str:
        return f"{SEEN.prefix}:{self._tag}:{event_id}"

    def ledger(self, command_id: str) -> str:
        return f"{LEDGER.prefix}:{self._tag}:{digest(command_id)}"

    def message(self, message_id: str) -> str:
        return f"{MESSAGE.prefix}:{self._tag}:{message_id}"

    def thread(self, name: str) -> str:
        return f"{THREAD.prefix}:{self._tag}:{digest(name)}"

    def note(self, thread_id: str) -> str:
        return f"{NOTE.prefix}:{self._tag}:{digest(thread_id)}"


def sent(channel: str, account_id: str, provider_ref: str) -> str:
    """Key of a provider message id, in a slot of its own: receipts do not name the conversation."""
    return f"{SENT.prefix}:{{{digest(channel, account_id, provider_ref)}}}"


def waiting(channel: str, account_id: str, provider_ref: str) -> str:
    """Statuses that came before the provider message id was known; in the slot of `sent`."""
    return f"{WAITING.prefix}:{{{digest(channel, account_id, provider_ref)}}}"


def alias(channel: str, account_id: str, value: str) -> str:
    return f"{ALIAS.prefix}:{{{digest(channel, account_id, value)}}}"


def bucket(channel: str, *scope: str) -> str:
    """Key of a rate; a call draws from several at once, so that all rates of a channel are in one slot."""
    return f"{BUCKET.prefix}:{{{digest(channel)}}}:{digest(*scope)}"


def lease(*scope: str) -> str:
    return f"{LEASE.prefix}:{{{digest(*scope)}}}"


def period(*scope: str) -> str:
    return f"{PERIOD.prefix}:{{{digest(*scope)}}}"


def cursor(channel: str, account_id: str) -> str:
    return f"{CURSOR.prefix}:{{{digest(channel, account_id)}}}"


def rate(*scope: str) -> str:
    return f"{RATE.prefix}:{{{digest(*scope)}}}"


def secret(channel: str, account_id: str) -> str:
    return f"{SECRET.prefix}:{{{digest(channel, account_id)}}}"


def upload(channel: str, account_id: str, external_id: str, content: str) -> str:
    """Key of a content that an account has uploaded, as the one it is at the provider now."""
    return f"{UPLOAD.prefix}:{{{digest(channel, account_id, external_id, content)}}}"


PROBES = 64  # so many keys for all replicas, in so many slots


def probe(number: int) -> str:
    return f"{PROBED.prefix}:{{{number % PROBES}}}"


# ---------------------------------------------------------------------------------------------------- scripts

# Whether the store does what it will be asked to do: every command that is used anywhere, on a key that is gone again
# at the end. KEYS: probe. ARGV: ttl in seconds.
PROBE = """
local key, ttl = KEYS[1], ARGV[1]
redis.call('TIME')
redis.call('SET', key, '1', 'EX', ttl)
if redis.call('GET', key) ~= '1' or redis.call('EXISTS', key) ~= 1 then return redis.error_reply('PROBE not kept') end
redis.call('GETEX', key, 'EX', ttl)
redis.call('MGET', key)
redis.call('EXPIRE', key, ttl, 'GT')
redis.call('DEL', key)
redis.call('HSET', key, 'field', '1')
redis.call('HSETNX', key, 'field', '1')
redis.call('HGET', key, 'field')
redis.call('HGETALL', key)
redis.call('HDEL', key, 'field')
redis.call('ZADD', key, 1, 'member')
redis.call('ZSCORE', key, 'member')
redis.call('ZCARD', key)
redis.call('ZRANGEBYSCORE', key, 0, 1)
redis.call('ZREMRANGEBYSCORE', key, 2, 3)
redis.call('ZREM', key, 'member')
redis.call('RPUSH', key, '1')
redis.call('LTRIM', key, -1, -1)
redis.call('LRANGE', key, 0, -1)
return redis.call('DEL', key)
"""

# KEYS: conversation, quota, cancel rules, joined, then `seen` keys, then `message` keys of reply targets.
# ARGV: ttl, number of seen keys, moment of an inbound that opens the window (or ''), its provider ref,
#       JSON list of field/value pairs to set. The newest inbound wins; an older one moves nothing back, but a
#       second one is a reply whenever it was written: a provider's clock may give both the same moment.
# Returns: seen flags, targets, the conversation as field/value pairs, quota used, ''; of a conversation that has become
#       part of another one nothing but that one's peer, and nothing is written.
OBSERVE = """
local into = redis.call('HGET', KEYS[4], 'into')
if into then return {{}, {}, {}, 0, into} end
local flags, targets = {}, {}
local seen = tonumber(ARGV[2])
for i = 1, seen do flags[i] = redis.call('EXISTS', KEYS[4 + i]) end
for i = 5 + seen, #KEYS do targets[#targets + 1] = redis.call('GET', KEYS[i]) or '' end
local opened = tonumber(ARGV[3])
local last = tonumber(redis.call('HGET', KEYS[1], 'last_inbound') or '0')
local ref, before = ARGV[4], redis.call('HGET', KEYS[1], 'last_ref') or ''
if opened and last > 0 and (ref == '' and opened > last or ref ~= '' and ref ~= before) then
  redis.call('HSET', KEYS[1], 'replied', '1')
end
if opened and opened > last then
  redis.call('HSET', KEYS[1], 'last_inbound', ARGV[3], 'last_ref', ARGV[4], 'closed_by_provider', '0')
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[3])
end
for field, value in pairs(cjson.decode(ARGV[5])) do redis.call('HSET', KEYS[1], field, value) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return {flags, targets, redis.call('HGETALL', KEYS[1]), redis.call('ZCARD', KEYS[2]), ''}
"""

# KEYS: conversation, quota, joined, then `seen` keys, then `message` keys. ARGV: seen ttl, message ttl,
#       conversation ttl, number of seen keys, JSON of fields to set, provider refs of the messages.
# Returns: the conversation, quota used, the peer of the one it has become part of meanwhile, or ''.
CONFIRM = """
local seen = tonumber(ARGV[4])
for i = 1, seen do redis.call('SET', KEYS[3 + i], '1', 'EX', ARGV[1]) end
for i = 4 + seen, #KEYS do redis.call('SET', KEYS[i], ARGV[5 + i - 3 - seen], 'EX', ARGV[2]) end
for field, value in pairs(cjson.decode(ARGV[5])) do redis.call('HSET', KEYS[1], field, value) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {redis.call('HGETALL', KEYS[1]), redis.call('ZCARD', KEYS[2]), redis.call('HGET', KEYS[3], 'into') or ''}
"""

# KEYS: conversation, quota, cancel rules, ledger, then `message` keys of targets. No ARGV.
# Returns: conversation, quota used, cancel rules, ledger, targets.
OPEN = """
local targets = {}
for i = 5, #KEYS do targets[#targets + 1] = redis.call('GET', KEYS[i]) end
return {redis.call('HGETALL', KEYS[1]), redis.call('ZCARD', KEYS[2]), redis.call('HGETALL', KEYS[3]),
  redis.call('HGETALL', KEYS[4]), targets}
"""

# What every change of a ledger does: it lives at least so long (seconds), and no shorter than it would have.
_KEEP = """
local function keep(ledger, ttl)
  redis.call('EXPIRE', ledger, ttl, 'NX')
  redis.call('EXPIRE', ledger, ttl, 'GT')
end
"""

# The moment given (ms), else the server's: replicas may differ about theirs, and an inbound clears what came before it.
_NOW = """
local function now(given)
  if tonumber(given) then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

# The time of a command's latest status is its ledger's `at`: no later one is told with an earlier time, whatever the
# provider's clock says. Times are RFC 3339 with milliseconds and in UTC, which sort as text; one that would run
# backwards gives way inside the status.
_ONWARDS = """
local function onwards(ledger, value, at)
  local latest = redis.call('HGET', ledger, 'at')
  if latest and latest > at then
    local name = '"occurred_at":"'
    local from, upto = string.find(value, name .. at .. '"', 1, true)
    if from then return string.sub(value, 1, from - 1) .. name .. latest .. string.sub(value, upto) end
    return value
  end
  redis.call('HSET', ledger, 'at', at)
  return value
end
"""

# The claim to one call of a command. KEYS: conversation, quota, cancel rules, ledger, then pending `message` keys.
# ARGV: ledger ttl, message ttl, field, value, quota limit ('' for none), quota members (JSON), quota ttl, moment
#       ('' for now), what to keep under 'plan' ('' for nothing).
# Returns: 'ok'; 'taken' and the value when somebody was here before; 'quota' and what is used.
INTEND = (
    _KEEP
    + _NOW
    + """
local present = redis.call('HGET', KEYS[4], ARGV[3])
if present then return {'taken', present} end
if ARGV[5] ~= '' then
  local members = cjson.decode(ARGV[6])
  local fresh = {}
  for _, member in ipairs(members) do
    if not redis.call('ZSCORE', KEYS[2], member) then fresh[#fresh + 1] = member end
  end
  local used = redis.call('ZCARD', KEYS[2])
  if used + #fresh > tonumber(ARGV[5]) then return {'quota', tostring(used)} end
  local moment = now(ARGV[8])
  for _, member in ipairs(fresh) do redis.call('ZADD', KEYS[2], moment, member) end
  redis.call('EXPIRE', KEYS[2], ARGV[7])
end
redis.call('HSET', KEYS[4], ARGV[3], ARGV[4])
if ARGV[9] ~= '' then redis.call('HSET', KEYS[4], 'plan', ARGV[9]) end
keep(KEYS[4], ARGV[1])
for i = 5, #KEYS do redis.call('SET', KEYS[i], '', 'EX', ARGV[2], 'NX') end
return {'ok', ''}
"""
)

# KEYS: conversation, quota, ledger, outbox, then `message` keys. ARGV: ledger ttl, message ttl, JSON of the change,
#       outbox ttl, conversation ttl, quota ttl, moment as in INTEND. Parts are [value, rank, time] and move on
#       only to a higher rank; the rest is set or dropped.
# Returns the whole ledger.
SETTLE = (
    _KEEP
    + _NOW
    + _ONWARDS
    + """
local change = cjson.decode(ARGV[3])
for _, field in ipairs(change.drop) do redis.call('HDEL', KEYS[3], field) end
for field, value in pairs(change.set) do redis.call('HSET', KEYS[3], field, value) end
for field, part in pairs(change.parts) do
  local present = redis.call('HGET', KEYS[3], field)
  if not present or tonumber(string.match(present, '^(%d+)|')) < part[2] then
    redis.call('HSET', KEYS[3], field, onwards(KEYS[3], part[1], part[3]))
  end
end
if change.ends then redis.call('EXPIRE', KEYS[3], ARGV[1]) else keep(KEYS[3], ARGV[1]) end
for _, member in ipairs(change.unquota) do redis.call('ZREM', KEYS[2], member) end
for _, member in ipairs(change.quota) do redis.call('ZADD', KEYS[2], 'NX', now(ARGV[7]), member) end
if #change.quota > 0 then redis.call('EXPIRE', KEYS[2], ARGV[6]) end
for _, ref in ipairs(change.outbox) do redis.call('ZADD', KEYS[4], 'NX', now(ARGV[7]), ref) end
if #change.outbox > 0 then redis.call('EXPIRE', KEYS[4], ARGV[4]) end
for i = 5, #KEYS do redis.call('SET', KEYS[i], change.refs[i - 4], 'EX', ARGV[2]) end
for field, value in pairs(change.conversation) do
  redis.call('HSET', KEYS[1], field, value)
  redis.call('EXPIRE', KEYS[1], ARGV[5])
end
return redis.call('HGETALL', KEYS[3])
"""
)

# A part's state moves on or stays. KEYS: ledger. ARGV: field, value, rank, ledger ttl, time. Values begin with
# '<rank>|'; the higher rank wins. Returns whether it moved, and the whole ledger.
ADVANCE = (
    _KEEP
    + _ONWARDS
    + """
local present = redis.call('HGET', KEYS[1], ARGV[1])
local moved = 0
if not present or tonumber(string.match(present, '^(%d+)|')) < tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], ARGV[1], onwards(KEYS[1], ARGV[2], ARGV[5]))
  keep(KEYS[1], ARGV[4])
  moved = 1
end
return {moved, redis.call('HGETALL', KEYS[1])}
"""
)

# One field of a ledger, where there is one: it lives no longer for it. KEYS: ledger. ARGV: field, value.
TELL = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1
"""

# KEYS: sent, waiting. ARGV: ttl, what the message is (JSON). Returns the statuses that wait; they stay until they
# have been told, and none is added to them any more.
BIND = """
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[1])
return redis.call('LRANGE', KEYS[2], 0, -1)
"""

# KEYS: sent, waiting. ARGV: ttl, the status (JSON), how many may wait. Returns what the message is, or false.
MATCH = """
local known = redis.call('GET', KEYS[1])
if known then return known end
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
redis.call('EXPIRE', KEYS[2], ARGV[1])
return false
"""

# A cancel rule. Rules that no queued command can be older than go: a busy conversation keeps its hash for ever.
# KEYS: cancel rules. ARGV: rule, moment, ttl in seconds.
CANCEL = """
local rules = redis.call('HGETALL', KEYS[1])
for i = 1, #rules, 2 do
  if tonumber(rules[i + 1]) < tonumber(ARGV[2]) - ARGV[3] * 1000 then redis.call('HDEL', KEYS[1], rules[i]) end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

# GCRA on the server's clock. KEYS: buckets. ARGV: longest wait to reserve (ms), tokens that have to stay, ttl (ms),
# then interval (ms, may be fractional) and burst of each bucket. Takes one token of every bucket or of none. More may
# have to stay than the bucket holds: then it has to have been full for a while.
# Returns: reserved, wait in ms (of the slowest), index of the slowest bucket from 1.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local longest, slowest, next_free = 0, 1, {}
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  local known = tonumber(redis.call('GET', key) or '0')
  local free = math.max(known, now - interval * (burst - 1))
  local wait = math.max(free, known + interval * tonumber(ARGV[2])) - now
  next_free[i] = free + interval
  if wait > longest then longest, slowest = wait, i end
end
if longest > tonumber(ARGV[1]) then return {0, math.ceil(longest), slowest} end
for i, key in ipairs(KEYS) do
  local life = math.ceil(math.max(next_free[i] - now, 0)) + ARGV[3]
  redis.call('SET', key, string.format('%.3f', next_free[i]), 'PX', life)
end
return {1, math.ceil(longest), slowest}
"""

# Nothing before the given wait has passed. KEYS: bucket. ARGV: wait in ms, ttl (ms).
PENALISE = """
local time = redis.call('TIME')
local free = time[1] * 1000 + time[2] / 1000 + tonumber(ARGV[1])
if free > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%.3f', free), 'PX', math.ceil(tonumber(ARGV[1])) + ARGV[2])
end
return 1
"""

# The thread of these names: of the first that is known, else a new one. All of them mean it from now on.
# KEYS: thread, the strongest first. ARGV: ttl, the id of a new thread. Returns the thread's id.
JOIN_THREAD = """
local id
for _, key in ipairs(KEYS) do id = id or redis.call('GET', key) end
id = id or ARGV[2]
for _, key in ipairs(KEYS) do redis.call('SET', key, id, 'EX', ARGV[1]) end
return id
"""

# A message of a thread is out. KEYS: conversation, note. ARGV: ttl, the note's fields (JSON), the thread's id,
# conversation ttl.
KEEP_NOTE = """
for field, value in pairs(cjson.decode(ARGV[2])) do redis.call('HSET', KEYS[2], field, value) end
redis.call('EXPIRE', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'thread', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""

# The peer an alias names; a new alias names the given one. KEYS: alias. ARGV: ttl, peer.
ADOPT = """
local known = redis.call('GET', KEYS[1])
if known then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  return known
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[1])
return ARGV[2]
"""

# Since when a conversation is one: who says it first is right. KEYS: joined. ARGV: ttl, moment (ms, '' for now).
SINCE = (
    _NOW
    + """
redis.call('HSETNX', KEYS[1], 'since', string.format('%.0f', now(ARGV[2])))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('HGET', KEYS[1], 'since')
"""
)

# A conversation becomes part of another one, once. KEYS: joined. ARGV: ttl, the other one's peer.
# Returns the peer of the one it has become part of.
JOIN = """
redis.call('HSETNX', KEYS[1], 'into', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('HGET', KEYS[1], 'into')
"""

# What was known of a conversation that became part of this one, once: `merged:<peer>` is '0' until it has been told.
# The newer inbound decides about the window, the later word about consent, a stop where nobody knows which was later.
# KEYS: conversation, joined. ARGV: ttl, peer of the other one, its fields (JSON).
# Returns the peer that this one has become part of meanwhile (then nothing is written), or ''.
MERGE = """
local into = redis.call('HGET', KEYS[2], 'into')
if into then return into end
local mark = 'merged:' .. ARGV[2]
if redis.call('HGET', KEYS[1], mark) then return '' end
local theirs, ours, flat = cjson.decode(ARGV[3]), {}, redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do ours[flat[i]] = flat[i + 1] end
local function set(field, value)
  if value and value ~= '' and value ~= ours[field] then redis.call('HSET', KEYS[1], field, value) end
end
local function both(first, second)
  if not (first and first ~= '') then return second end
  if not (second and second ~= '') then return first end
  local merged = cjson.decode(first)
  for name, value in pairs(cjson.decode(second)) do merged[name] = value end
  return cjson.encode(merged)
end
set(mark, next(theirs) and '0' or '1')
local here, there = tonumber(ours.last_inbound or '0'), tonumber(theirs.last_inbound or '0')
local older, newer = theirs, ours
if there > here then
  older, newer = ours, theirs
  for _, field in ipairs({'last_inbound', 'last_ref', 'closed_by_provider', 'unreachable', 'undeliverable'}) do
    set(field, theirs[field])
  end
  set('thread', theirs.thread)
end
for _, field in ipairs({'unreachable', 'undeliverable', 'thread'}) do
  if not ours[field] then set(field, theirs[field]) end
end
if here > 0 and there > 0 or theirs.replied == '1' then set('replied', '1') end
if here > 0 or there > 0 then
  if ours.cold == '1' then set('cold', '0') end
else
  set('cold', theirs.cold)
end
if theirs.blocked == '1' then set('blocked', '1') end
local said, told = tonumber(ours.consent_at or '0'), tonumber(theirs.consent_at or '0')
if theirs.opted_out and (not ours.opted_out or told > said or told == said and theirs.opted_out == '1') then
  set('opted_out', theirs.opted_out)
  set('consent_at', theirs.consent_at)
end
set('address', both(older.address, newer.address))
set('aliases', both(older.aliases, newer.aliases))
for field, value in pairs(theirs) do
  if not ours[field] and (field == 'name' or field == 'referral' or string.sub(field, 1, 7) == 'merged:') then
    set(field, value)
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return ''
"""

# A lock is given back only by who holds it. KEYS: lease. ARGV: holder.
RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

# The value changes only from what the caller saw. KEYS: value. ARGV: expected ('' for absent), new, ttl.
COMPARE_AND_SET = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
