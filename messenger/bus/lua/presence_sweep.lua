-- Say offline who still is, once for the whole cluster: somebody may have come back since he was found expired.
-- KEYS: for each user his shard. ARGV: channel, then the users.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for number, shard in ipairs(KEYS) do
    local user = ARGV[number + 1]
    local expired = redis.call('ZSCORE', shard, user)
    if expired and tonumber(expired) <= now then
        redis.call('ZREM', shard, user)
        redis.call('DEL', shard .. ':' .. user)
        redis.call('PUBLISH', ARGV[1], '{"user_id":' .. user .. ',"online":false,"at":' .. string.format('%d', expired) .. '}')
    end
end
