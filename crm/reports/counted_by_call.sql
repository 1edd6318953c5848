-- Attempts begun in the period, from their counts.
counted AS (
    SELECT cell.campaign_id, cell.day, cell.user_id, cell.situation, cell.result, cell.state, cell.last,
           cell.opened, cell.n
      FROM report_cell AS cell JOIN chosen USING (campaign_id, generation)
     WHERE cell.day BETWEEN $2::date AND $3::date AND (cell.day >= chosen.since OR chosen.since IS NULL)
       AND ($5::integer IS NULL OR cell.user_id = $5)
       AND (cell.last OR NOT $6::boolean)
)
