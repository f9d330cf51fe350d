/**
 * What has to happen at once in Redis, as scripts. All keys of one call are in one slot, and are named to Redis, so that
 * they work in a Cluster. Times are those of Redis: no two machines' clocks are ever compared.
 */

import type { RedisConnection } from "../redis/connection.ts";

/** A text in Lua, and the name by which a server remembers it. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

/** What a script works on. */
export interface ScriptCall {
  readonly keys: readonly string[];
  readonly words: readonly (string | number)[];
}

/**
 * A token is `<instance>/<unique>`. Every script reads before it writes, as what was written before an error stays. Numbers are written in full, as fences and times have more digits
 * than Lua shows.
 */
const TOOLS = `
local function owner(token) return string.match(token, '^(.*)/[^/]*$') end
local function whole(number) return string.format('%.0f', number) end
local function later(a, b)
  if a and (not b or a > b) then return a end
  return b
end
local function decoded(json)
  local isJson, value = pcall(cjson.decode, json or '')
  if isJson and type(value) == 'table' then return value end
  return {}
end
local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function keep(key, token, lifeMs)
  if redis.call('GET', key) ~= token then return 0 end
  return redis.call('PEXPIRE', key, lifeMs)
end
local function giveBack(key, token)
  if redis.call('GET', key) ~= token then return 0 end
  return redis.call('DEL', key)
end
`;

/**
 * Takes the lock of an app, also from an earlier run of the same instance.
 * Keys: lock, apps, uses, fences. Words: app, token, instance, life in ms, newest fence known there.
 * @returns the fence, the record and the last use (both may be absent); nothing while another instance holds it
 */
export const CLAIM = script(`
local held = redis.call('GET', KEYS[1])
if held and owner(held) ~= ARGV[3] then return false end
local record, used = redis.call('HGET', KEYS[2], ARGV[1]), redis.call('HGET', KEYS[3], ARGV[1])
local recorded = decoded(record).fence
local fence = later(tonumber(ARGV[5]), tonumber(redis.call('HGET', KEYS[4], ARGV[1])))
if type(recorded) == 'number' then fence = later(fence, recorded) end
fence = whole(fence + 1)
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
redis.call('HSET', KEYS[4], ARGV[1], fence)
return {fence, record, used}
`);

/** Gives a lock back if it still has our token. Keys: lock. Words: token. */
export const RELEASE = script("return giveBack(KEYS[1], ARGV[1])");

/**
 * Stores a record and tells everybody, unless somebody with a newer fence was there, or is about to be.
 * Keys: lock, apps, uses, fences, revision. Words: app, record, its fence, its last use or nothing, instance, the same as
 * JSON, channel.
 * @returns 1 if it was stored
 */
export const SAVE = script(`
local fence = tonumber(ARGV[3])
local before = decoded(redis.call('HGET', KEYS[2], ARGV[1]))
if type(before.fence) == 'number' and before.fence > fence then return 0 end
local newest = tonumber(redis.call('HGET', KEYS[4], ARGV[1])) or 0
local held = redis.call('GET', KEYS[1])
if held and owner(held) ~= ARGV[5] and newest > fence then return 0 end
local used = later(tonumber(ARGV[4]), tonumber(redis.call('HGET', KEYS[3], ARGV[1])))
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
if fence > newest then redis.call('HSET', KEYS[4], ARGV[1], ARGV[3]) end
if used then redis.call('HSET', KEYS[3], ARGV[1], whole(used)) end
local revision = redis.call('INCR', KEYS[5])
redis.call('PUBLISH', ARGV[7], '{"from":' .. ARGV[6] .. ',"revision":' .. revision
  .. ',"used":' .. (used and whole(used) or 'null') .. ',"record":' .. ARGV[2] .. '}')
return 1
`);

/** Notes last uses of apps that have a record. Keys: apps, uses. Words: app, time, app, time, ... */
export const TOUCH = script(`
for at = 1, #ARGV, 2 do
  local before = tonumber(redis.call('HGET', KEYS[2], ARGV[at]))
  if redis.call('HEXISTS', KEYS[1], ARGV[at]) == 1 and later(before, tonumber(ARGV[at + 1])) ~= before then
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  end
end
`);

/**
 * The heartbeat. It begins with what a Redis without memory still takes; what follows in the same script is then taken
 * too, so that nobody is taken for dead, and no lock ends, for want of memory. Heartbeats out of the future are from
 * before another server with a slower clock took over.
 * Keys: instances, leader, epoch, revision, locks... Words: instance, life in ms, token for the leadership, channel,
 * message, tokens of the locks...
 * @returns the epoch, the revision, the leader's name, for each lock 1 while it is ours, and each instance and the age of
 *   its heartbeat in ms
 */
export const BEAT = script(`
local now, lifeMs = nowMs(), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now - lifeMs))
redis.call('ZREMRANGEBYSCORE', KEYS[1], whole(now + lifeMs), '+inf')
local ours = {}
for at = 5, #KEYS do ours[at - 4] = keep(KEYS[at], ARGV[at + 1], lifeMs) end
redis.call('ZADD', KEYS[1], whole(now), ARGV[1])
local leader = redis.call('GET', KEYS[2])
if not leader or owner(leader) == ARGV[1] then
  leader = ARGV[3]
  redis.call('SET', KEYS[2], leader, 'PX', lifeMs)
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
local alive = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for at = 2, #alive, 2 do alive[at] = whole(now - alive[at]) end
return {redis.call('GET', KEYS[3]), redis.call('GET', KEYS[4]), owner(leader) or '', ours, alive}
`);

/**
 * Asks the others about a stop, if there are others, and looks whether the lock is still ours.
 * Keys: instances, lock. Words: instance, life in ms, token of the lock, channel, question, 1 if others are known.
 * @returns 1 if the lock is ours, and the others that live
 */
export const ASK = script(`
if redis.call('GET', KEYS[2]) ~= ARGV[3] then return {0, {}} end
local others = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], whole(nowMs() - tonumber(ARGV[2])), '+inf')) do
  if name ~= ARGV[1] then others[#others + 1] = name end
end
if #others > 0 or ARGV[6] == '1' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return {1, others}
`);

/**
 * Leaves. Keys: instances, leader, locks... Words: instance, token of the leadership, channel, message, tokens of the
 * locks...
 */
export const LEAVE = script(`
redis.call('ZREM', KEYS[1], ARGV[1])
giveBack(KEYS[2], ARGV[2])
for at = 3, #KEYS do giveBack(KEYS[at], ARGV[at + 2]) end
redis.call('PUBLISH', ARGV[3], ARGV[4])
`);

/**
 * Runs a script by its name; a server that does not know it yet is told its text.
 * @throws Error of the client
 */
export async function runScript(
  { client }: Pick<RedisConnection, "client">,
  { lua, sha }: Script,
  { keys, words }: ScriptCall,
): Promise<unknown> {
  try {
    return await client.evalsha(sha, keys.length, ...keys, ...words);
  } catch (error) {
    if (!String(error).includes("NOSCRIPT")) throw error;
    return await client.eval(lua, keys.length, ...keys, ...words);
  }
}

function script(body: string): Script {
  const lua = TOOLS + body;
  return { lua, sha: new Bun.CryptoHasher("sha1").update(lua).digest("hex") };
}
