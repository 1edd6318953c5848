-- What agents recorded of contacts that were no call (TEL-01), by the day they recorded it: no attempts.
contacts AS (
    SELECT action.campaign_id, action.user_id, count(*) AS without_call
      FROM action JOIN chosen USING (campaign_id)
      JOIN list_item AS item ON item.id = action.item_id AND item.generation = chosen.generation
     WHERE action.without_call AND report_day(action.at) BETWEEN $2::date AND $3::date
       AND (report_day(action.at) >= chosen.since OR chosen.since IS NULL)
       AND ($5::integer IS NULL OR action.user_id = $5)
     GROUP BY action.campaign_id, action.user_id
)
