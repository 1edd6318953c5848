-- Attempts begun in the period, from the counts of each day.
counted AS (
    SELECT day.*
      FROM report_day AS day JOIN chosen USING (campaign_id, generation)
     WHERE day.day BETWEEN $2::date AND $3::date AND (day.day >= chosen.since OR chosen.since IS NULL)
       AND ($5::integer IS NULL OR day.user_id = $5)
       AND (day.last OR NOT $6::boolean) AND day.n > 0
)
