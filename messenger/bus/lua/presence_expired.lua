-- Whose last lease has expired, for one node at a time to say; and since when this Redis remembers anybody.
-- KEYS: era, sweeper, the shards. ARGV: node, ttl in ms.
-- Returns the era, then user and end of lease in turn; nobody where another node is at it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lasts = now + ARGV[2]
if redis.call('SET', KEYS[1], string.format('%d', now), 'NX') then
    -- Nobody could renew for a while: leases that ran out meanwhile, or will before all nodes are back, prove nothing.
    for number = 3, #KEYS do
        for _, user in ipairs(redis.call('ZRANGEBYSCORE', KEYS[number], '-inf', lasts)) do
            redis.call('ZADD', KEYS[number], lasts, user)
        end
    end
end
-- An era ends where nobody has come to sweep for longer than a lease that is renewed in time has left.
redis.call('PEXPIRE', KEYS[1], math.floor(ARGV[2] * 2 / 3))
local found = {redis.call('GET', KEYS[1])}
-- A sweeper that dies is followed by another within the second.
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', 1000) or redis.call('GET', KEYS[2]) == ARGV[1] then
    redis.call('PEXPIRE', KEYS[2], 1000)
    for number = 3, #KEYS do
        for _, told in ipairs(redis.call('ZRANGEBYSCORE', KEYS[number], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 100)) do
            table.insert(found, told)
        end
    end
end
return found
