-- How many attempts each day of the period has, the latest first.
WITH {chosen}, {counted}
SELECT day, sum({number})::bigint AS n FROM counted WHERE {conditions} GROUP BY day
HAVING sum({number}) > 0 ORDER BY day DESC
