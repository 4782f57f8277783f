-- Who used which route by which program on which host for the first time: the latest such firsts.
SELECT host, uid, max(username) AS username, exe, route, decision, min(ts) AS first, count(*) AS times
FROM accesses
GROUP BY host, uid, exe, route, decision
ORDER BY first DESC, host, uid, exe, route, decision
LIMIT 100;
