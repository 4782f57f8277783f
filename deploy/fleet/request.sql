-- All that is on record of one request, in the order of time: put its id and its host.
SELECT ts, t, segment, line
FROM records
WHERE host = 'web1' AND (id = '7k3qzd-41-1' OR (t = 'conn' AND id = '7k3qzd-41'))
ORDER BY ts, segment;
