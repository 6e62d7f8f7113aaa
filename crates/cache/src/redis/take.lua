-- Takes one permit out of a bucket: the rule of `RateLimit::take` in core, which
-- a property test holds this against.
--   KEYS[1]  the bucket: its theoretical arrival time, in microseconds
--   ARGV     now, tolerance and period in microseconds; how long the bucket is
--            kept past its arrival time, in milliseconds
-- Gives -1 for granted, else the microseconds until one more is let through.
-- Numbers are doubles, exact up to 2^53; the caller keeps them below that.
local now = tonumber(ARGV[1])
local arrival = tonumber(redis.call('GET', KEYS[1]) or '') or now
if arrival < now then
  arrival = now
end
local ahead = arrival - now
local tolerance = tonumber(ARGV[2])
if ahead > tolerance then
  return ahead - tolerance
end
local after = arrival + tonumber(ARGV[3])
local kept = math.ceil((after - now) / 1000) + tonumber(ARGV[4])
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', string.format('%.0f', kept))
return -1
