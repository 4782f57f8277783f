-- For both engines, after `duckdb.sql` or `clickhouse.sql`.

-- What is believed: a record counts where its writer may write it. What only the warden or the scribe can know counts in
-- their segments alone, and a gate speaks for the callers of its own uid alone.
CREATE OR REPLACE VIEW records AS
SELECT *
FROM parsed
WHERE t = 'open'
   OR (writer = 'warden' AND t IN ('conn', 'grant', 'gate', 'policy', 'decision', 'outcome', 'repeat'))
   OR (writer = 'scribe' AND t NOT IN ('conn', 'grant', 'gate', 'policy', 'decision', 'repeat'))
   OR (writer = 'gate' AND t IN ('decision', 'repeat') AND (serves = '' OR serves = CAST(uid AS VARCHAR)))
   OR (writer = 'gate' AND t = 'outcome');

-- What anybody wrote and nobody believes. There should be nothing in it.
CREATE OR REPLACE VIEW disbelieved AS
SELECT host, segment, line
FROM shipped_lines
WHERE (host, segment, line) NOT IN (SELECT host, segment, line FROM records);

-- Each request: what was asked, and by whom; how it was judged; what was granted; how it ended.
CREATE OR REPLACE VIEW accesses AS
SELECT d.host AS host, d.id AS id, d.ts AS ts, d.uid AS uid, c.username AS username, c.exe AS exe, c.unit AS unit,
       c.listener AS listener, d.method AS method, d.target AS target, d.route AS route, d.decision AS decision,
       d.refusal AS refusal, d.rule AS rule, d.place AS place, g.backend AS backend, g.refused AS refused,
       coalesce(o.status, d.status) AS status, o.result AS result, o.bytes_in AS bytes_in, o.bytes_out AS bytes_out,
       coalesce(o.us, d.us) AS us
FROM (SELECT * FROM records WHERE t = 'decision') AS d
LEFT JOIN (SELECT * FROM records WHERE t = 'conn') AS c ON c.host = d.host AND c.id = d.connection
LEFT JOIN (SELECT host, id, max(backend) AS backend, max(refused) AS refused FROM records WHERE t = 'grant'
           GROUP BY host, id) AS g ON g.host = d.host AND g.id = d.id
LEFT JOIN (SELECT * FROM records WHERE t = 'outcome') AS o ON o.host = d.host AND o.id = d.id;
