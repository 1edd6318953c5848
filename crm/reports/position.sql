-- UAU-R7: how many attempts have each status, in the period and on the last day of it on which there were any.
WITH {chosen}, {counted}, sums AS (
    SELECT day, {sums} FROM counted GROUP BY day
)
SELECT status, sum(quantity)::bigint AS quantity,
       coalesce(sum(quantity) FILTER (WHERE day = (SELECT max(day) FROM sums)), 0)::bigint AS quantity_last,
       (SELECT max(day) FROM sums) AS last_day
  FROM sums, LATERAL (VALUES {pairs}) AS pair (status, quantity)
 GROUP BY status HAVING sum(quantity) > 0 ORDER BY quantity DESC, status
