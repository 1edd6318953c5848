-- The campaigns a report is about, with the day from which it counts each.
-- $1 campaigns or null for all, $2 first day, $3 last day, $4 from the first load, $5 agent or null, $6 last only
chosen AS MATERIALIZED (
    SELECT campaign.id AS campaign_id, campaign.name, campaign.generation,
           CASE WHEN $4::boolean THEN (
                    SELECT report_day(min(campaign_load.at)) FROM campaign_load
                     WHERE campaign_load.campaign_id = campaign.id
                       AND campaign_load.generation = campaign.generation)
                ELSE $2::date END AS since  -- null: it was never loaded
      FROM campaign
     WHERE ($1::integer[] IS NULL OR campaign.id = ANY ($1))
)
