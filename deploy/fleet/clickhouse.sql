-- ClickHouse. On a server, put the files below `user_files_path`, or load `shipped_lines` into a table (ReplacingMergeTree,
-- ordered by host, segment, line) and keep the rest as it is.

-- What is not there is NULL, as elsewhere.
SET join_use_nulls = 1;

CREATE OR REPLACE VIEW shipped_lines AS
SELECT DISTINCT host, segment, line
FROM file('/var/log/peergate-fleet/*/*.ndjson', 'JSONEachRow', 'host String, segment String, line String');

CREATE OR REPLACE VIEW parsed AS
SELECT host, segment, line,
       extract(segment, '^[^-]+-[^-]+-([a-z]+)') AS writer,
       extract(segment, '-gate-([0-9]+)-') AS serves,
       JSONExtract(line, 't', 'Nullable(String)') AS t,
       JSONExtract(line, 'ts', 'Nullable(String)') AS ts,
       JSONExtract(line, 'id', 'Nullable(String)') AS id,
       extract(JSONExtractString(line, 'id'), '^([^-]+-[0-9]+)') AS connection,
       JSONExtract(line, 'uid', 'Nullable(Int64)') AS uid,
       JSONExtract(line, 'user', 'Nullable(String)') AS username,
       JSONExtract(line, 'exe', 'Nullable(String)') AS exe,
       JSONExtract(line, 'unit', 'Nullable(String)') AS unit,
       JSONExtract(line, 'on', 'Nullable(String)') AS listener,
       JSONExtract(line, 'shed', 'Nullable(String)') AS shed,
       JSONExtract(line, 'method', 'Nullable(String)') AS method,
       JSONExtract(line, 'target', 'Nullable(String)') AS target,
       JSONExtract(line, 'route', 'Nullable(String)') AS route,
       JSONExtract(line, 'decision', 'Nullable(String)') AS decision,
       JSONExtract(line, 'refusal', 'Nullable(String)') AS refusal,
       JSONExtract(line, 'by', 'Nullable(String)') AS rule,
       JSONExtract(line, 'at', 'Nullable(String)') AS place,
       JSONExtract(line, 'backend', 'Nullable(String)') AS backend,
       JSONExtract(line, 'refused', 'Nullable(String)') AS refused,
       JSONExtract(line, 'status', 'Nullable(Int64)') AS status,
       JSONExtract(line, 'result', 'Nullable(String)') AS result,
       JSONExtract(line, 'in', 'Nullable(Int64)') AS bytes_in,
       JSONExtract(line, 'out', 'Nullable(Int64)') AS bytes_out,
       JSONExtract(line, 'us', 'Nullable(Int64)') AS us,
       JSONExtract(line, 'count', 'Nullable(Int64)') AS refusals,
       JSONExtract(line, 'segment', 'Nullable(String)') AS of_segment,
       JSONExtract(line, 'bytes', 'Nullable(Int64)') AS bytes,
       JSONExtract(line, 'epoch', 'Nullable(Int64)') AS epoch,
       JSONExtract(line, 'i', 'Nullable(Int64)') AS i,
       JSONExtract(line, 'next', 'Nullable(String)') AS next,
       lower(hex(SHA256(line))) AS hash_of_line
FROM shipped_lines
WHERE isValidJSON(line);
