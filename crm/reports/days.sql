-- How many attempts each day of the period has.
WITH {chosen}, {counted}
SELECT day, sum(n)::bigint AS n FROM counted WHERE n > 0 AND {conditions} GROUP BY day ORDER BY day DESC
