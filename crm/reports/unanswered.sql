-- UAU-R6: why attempts that have ended reached no person.
WITH {chosen}, {counted}, sums AS (
    SELECT campaign_id, {sums} FROM counted GROUP BY campaign_id
)
SELECT chosen.campaign_id, chosen.name AS campaign, reason, quantity::bigint
  FROM sums JOIN chosen USING (campaign_id),
       LATERAL (VALUES {pairs}) AS pair (reason, quantity)
 WHERE quantity > 0 AND reason NOT IN ('completed', 'dialing')
 ORDER BY f_norm(chosen.name), chosen.campaign_id, quantity DESC, reason
