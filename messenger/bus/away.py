"""What redis-py raises where Redis is away. RuntimeError is uvloop's word for a transport that was closed meanwhile."""

from redis.exceptions import RedisError

AWAY = (RedisError, OSError, RuntimeError)
