-- The segments of each host of which every byte is here: the scribe said how long they are (`close`), and the lines that
-- came are that long. What this names may be pruned on its host: it is the file of `[audit] shipped`.
SELECT c.host AS host, c.of_segment AS segment
FROM (SELECT DISTINCT host, of_segment, bytes FROM records WHERE t = 'close') AS c
JOIN (SELECT host, segment, sum(length(line) + 1) AS bytes FROM shipped_lines GROUP BY host, segment) AS l
  ON l.host = c.host AND l.segment = c.of_segment
WHERE l.bytes = c.bytes
ORDER BY host, segment;
