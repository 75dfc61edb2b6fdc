-- Whose last lease has expired, for one node at a time to say; and since when this Redis remembers anybody.
-- KEYS: era, sweeper, the shards. ARGV: node.
-- Returns the era, then user and end of lease in turn; nobody where another node is at it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], string.format('%d', now), 'NX')
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
