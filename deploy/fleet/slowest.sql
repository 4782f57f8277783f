-- The requests that took longest.
SELECT host, id, ts, uid, username, method, target, route, status, result, us
FROM accesses
WHERE us IS NOT NULL
ORDER BY us DESC, host, id
LIMIT 20;
