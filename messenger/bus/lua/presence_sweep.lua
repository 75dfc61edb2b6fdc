-- Say offline whose last lease has expired, once for the whole cluster. Returns their ids.
-- KEYS: the shards (leases lie beside each, in the same slot). ARGV: channel.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = {}
for _, shard in ipairs(KEYS) do
    for _, user in ipairs(redis.call('ZRANGEBYSCORE', shard, '-inf', now, 'LIMIT', 0, 100)) do
        redis.call('ZREM', shard, user)
        redis.call('DEL', shard .. ':' .. user)
        redis.call('PUBLISH', ARGV[1], '{"user_id":' .. user .. ',"online":false,"at":' .. string.format('%d', now) .. '}')
        table.insert(gone, user)
    end
end
return gone
