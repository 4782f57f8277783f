-- DuckDB: `duckdb -init duckdb.sql`, then the queries. Each query file says what it tells.

CREATE OR REPLACE VIEW shipped_lines AS
SELECT DISTINCT host, segment, line
FROM read_json('/var/log/peergate-fleet/*/*.ndjson', format = 'newline_delimited',
               columns = {host: 'VARCHAR', segment: 'VARCHAR', line: 'VARCHAR'});

CREATE OR REPLACE VIEW parsed AS
SELECT host, segment, line,
       regexp_extract(segment, '^[^-]+-[^-]+-([a-z]+)', 1) AS writer,
       regexp_extract(segment, '-gate-([0-9]+)-', 1) AS serves,
       line ->> '$.t' AS t,
       line ->> '$.ts' AS ts,
       line ->> '$.id' AS id,
       regexp_extract(line ->> '$.id', '^([^-]+-[0-9]+)', 1) AS connection,
       TRY_CAST(line ->> '$.uid' AS BIGINT) AS uid,
       line ->> '$.user' AS username,
       line ->> '$.exe' AS exe,
       line ->> '$.unit' AS unit,
       line ->> '$."on"' AS listener,
       line ->> '$.shed' AS shed,
       line ->> '$.method' AS method,
       line ->> '$.target' AS target,
       line ->> '$.route' AS route,
       line ->> '$.decision' AS decision,
       line ->> '$.refusal' AS refusal,
       line ->> '$."by"' AS rule,
       line ->> '$."at"' AS place,
       line ->> '$.backend' AS backend,
       line ->> '$.refused' AS refused,
       TRY_CAST(line ->> '$.status' AS BIGINT) AS status,
       line ->> '$.result' AS result,
       TRY_CAST(line ->> '$."in"' AS BIGINT) AS bytes_in,
       TRY_CAST(line ->> '$."out"' AS BIGINT) AS bytes_out,
       TRY_CAST(line ->> '$.us' AS BIGINT) AS us,
       TRY_CAST(line ->> '$.count' AS BIGINT) AS refusals,
       line ->> '$.segment' AS of_segment,
       TRY_CAST(line ->> '$.bytes' AS BIGINT) AS bytes,
       TRY_CAST(line ->> '$.epoch' AS BIGINT) AS epoch,
       TRY_CAST(line ->> '$.i' AS BIGINT) AS i,
       line ->> '$.next' AS next,
       sha256(line) AS hash_of_line
FROM shipped_lines
WHERE json_valid(line);
