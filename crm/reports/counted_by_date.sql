-- Attempts with another of their dates in the period, found one by one and counted as report_day counts.
found AS (
    SELECT item.campaign_id, report_day(attempt.started) AS day, coalesce(attempt.user_id, 0) AS user_id,
           attempt.situation, attempt.result, report_state(item.state, item.result) AS state,
           known.last_attempt = attempt.id AS last,
           attempt.ticket_id IS NOT NULL AND attempt.result IS NULL AS is_opened
      FROM (SELECT id, started, max(at) AS at FROM ({dated}) AS event GROUP BY id, started) AS dated
      JOIN attempt ON attempt.id = dated.id AND attempt.started = dated.started
      JOIN list_item AS item ON item.id = attempt.item_id
      JOIN report_item AS known ON known.item_id = item.id
      JOIN chosen ON chosen.campaign_id = item.campaign_id AND chosen.generation = item.generation
     WHERE (report_day(dated.at) >= chosen.since OR chosen.since IS NULL)
       AND ($5::integer IS NULL OR attempt.user_id = $5)
       AND (known.last_attempt = attempt.id OR NOT $6::boolean)
),
counted AS (
    SELECT campaign_id, day, user_id, last, count(*) AS n, {columns},
           count(*) FILTER (WHERE is_opened) AS opened
      FROM found GROUP BY campaign_id, day, user_id, last
)
