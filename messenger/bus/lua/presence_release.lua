-- Let a device's lease end after the grace period: only expiry says offline, so a reload is no flap.
-- KEYS: the shard, the user's leases. ARGV: user, lease, grace in ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[2])
local latest = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
redis.call('PEXPIREAT', KEYS[2], latest + 60000)
redis.call('ZADD', KEYS[1], latest, ARGV[1])
