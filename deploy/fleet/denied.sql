-- Who was denied what, and how often: single decisions, refusals that were only counted, and connections that were
-- closed at once.
SELECT host, uid, max(username) AS username, route, refusal, sum(times) AS times, min(first) AS first, max(last) AS last
FROM (
    SELECT host, uid, username, route, refusal, 1 AS times, ts AS first, ts AS last
    FROM accesses WHERE decision = 'deny'
    UNION ALL
    SELECT host, uid, username, route, refusal, refusals AS times, ts AS first, ts AS last
    FROM records WHERE t = 'repeat'
    UNION ALL
    SELECT host, uid, username, route, shed AS refusal, 1 AS times, ts AS first, ts AS last
    FROM records WHERE t = 'conn' AND shed IS NOT NULL
) AS denials
GROUP BY host, uid, route, refusal
ORDER BY times DESC, host, uid, route, refusal
LIMIT 1000;
