-- The latest seal of each host, spelt as a head. The collector is a witness by this: what it prints for a host goes into a
-- file for `peergate audit verify --witness FILE`, which then proves that the record on the host does not end earlier.
SELECT s.host AS host,
       concat('peergate-head v1 epoch=', CAST(s.epoch AS VARCHAR), ' i=', CAST(s.i AS VARCHAR), ' ts=', s.ts,
              ' hash=', s.hash_of_line, ' next=', s.next) AS head
FROM (SELECT * FROM records WHERE t = 'seal') AS s
JOIN (SELECT host, max(ts) AS ts FROM records WHERE t = 'seal' GROUP BY host) AS latest
  ON latest.host = s.host AND latest.ts = s.ts
ORDER BY host;
