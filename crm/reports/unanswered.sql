-- UAU-R6: why attempts that have ended reached no person.
WITH {chosen}, {counted}
SELECT chosen.campaign_id, chosen.name AS campaign, counted.situation AS reason, sum(n)::bigint AS quantity
  FROM counted JOIN chosen USING (campaign_id)
 WHERE counted.situation NOT IN ('completed', 'dialing') AND n > 0
 GROUP BY chosen.campaign_id, chosen.name, counted.situation
 ORDER BY f_norm(chosen.name), chosen.campaign_id, quantity DESC, reason
