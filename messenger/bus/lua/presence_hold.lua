-- Hold a device's lease for a while. Says the user online if nobody had said so before.
-- KEYS: the shard, the user's leases. ARGV: user, lease, ttl in ms, channel, grace in ms.
-- Returns how many devices the user holds, those within their grace period aside.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[2])
local latest = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
redis.call('PEXPIREAT', KEYS[2], latest + 60000)
-- Who has expired but was not swept yet was never said offline: he has been online all along.
if redis.call('ZADD', KEYS[1], latest, ARGV[1]) == 1 then
    redis.call('PUBLISH', ARGV[4], '{"user_id":' .. ARGV[1] .. ',"online":true,"at":' .. string.format('%d', now) .. '}')
end
return redis.call('ZCOUNT', KEYS[2], '(' .. string.format('%d', now + ARGV[5]), '+inf')
