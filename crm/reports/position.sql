-- UAU-R7: how many attempts have each status, in the period and on the last day of it on which there were any.
WITH {chosen}, {counted},
by_status AS (
    SELECT CASE $7::text WHEN 'item' THEN state::text WHEN 'result' THEN result ELSE situation END AS status,
           day, sum(n) AS n
      FROM counted WHERE n > 0 GROUP BY 1, 2
)
SELECT status, sum(n)::bigint AS quantity,
       coalesce(sum(n) FILTER (WHERE day = (SELECT max(day) FROM by_status)), 0)::bigint AS quantity_last,
       (SELECT max(day) FROM by_status) AS last_day
  FROM by_status GROUP BY status ORDER BY quantity DESC, status
