-- UAU-R1: each agent's items, counted once under the agent of their latest attempt, and everybody's attempts.
-- Items nobody attempted yet stand in a row without an agent (user_id null), unless one agent is asked for.
WITH {chosen}, {counted},
worked AS (
    SELECT counted.campaign_id, counted.user_id,
           sum(n) FILTER (WHERE last) AS items,
           sum(n) FILTER (WHERE last AND state = 0) AS not_worked,
           sum(n) FILTER (WHERE last AND state = 4) AS success,
           sum(n) FILTER (WHERE last AND state = 7) AS failure,
           sum(n) FILTER (WHERE last AND state = 1) AS to_call_back,
           sum(n) FILTER (WHERE last AND state = 5) AS hit_limit,
           sum(n) FILTER (WHERE last AND state = 2) AS trying,
           sum(n) FILTER (WHERE last AND state = 3) AS trying_callback,
           sum(n) FILTER (WHERE last AND state = 6) AS cancelled,
           sum(n) FILTER (WHERE situation = 'completed') AS effective,
           sum(n) FILTER (WHERE situation NOT IN ('completed', 'dialing')) AS unsuccessful,
           sum(n) AS attempts,
           sum(n) FILTER (WHERE situation = 'voicemail') AS by_machine
      FROM counted GROUP BY counted.campaign_id, counted.user_id
     UNION ALL
    SELECT list.campaign_id, NULL, sum(rest), sum(rest) FILTER (WHERE state = 0),
           sum(rest) FILTER (WHERE state = 4), sum(rest) FILTER (WHERE state = 7),
           sum(rest) FILTER (WHERE state = 1), sum(rest) FILTER (WHERE state = 5),
           sum(rest) FILTER (WHERE state = 2), sum(rest) FILTER (WHERE state = 3),
           sum(rest) FILTER (WHERE state = 6), 0, 0, 0, 0
      FROM (SELECT campaign_id, state, n - attempted AS rest
              FROM report_list JOIN chosen USING (campaign_id, generation)) AS list
     WHERE $5::integer IS NULL
     GROUP BY list.campaign_id HAVING sum(rest) > 0
)
SELECT worked.campaign_id, worked.user_id, chosen.name AS campaign, coalesce(user_account.name, '') AS agent,
       coalesce(items, 0)::bigint AS items, coalesce(not_worked, 0)::bigint AS not_worked,
       coalesce(success, 0)::bigint AS success, coalesce(failure, 0)::bigint AS failure,
       coalesce(to_call_back, 0)::bigint AS to_call_back, coalesce(hit_limit, 0)::bigint AS hit_limit,
       coalesce(trying, 0)::bigint AS trying, coalesce(trying_callback, 0)::bigint AS trying_callback,
       coalesce(cancelled, 0)::bigint AS cancelled, coalesce(effective, 0)::bigint AS effective,
       coalesce(unsuccessful, 0)::bigint AS unsuccessful, coalesce(attempts, 0)::bigint AS attempts,
       coalesce(by_machine, 0)::bigint AS by_machine
  FROM worked JOIN chosen USING (campaign_id)
  LEFT JOIN user_account ON user_account.id = worked.user_id
 WHERE attempts > 0 OR items > 0
 ORDER BY f_norm(chosen.name), chosen.campaign_id, worked.user_id IS NULL, f_norm(user_account.name),
          worked.user_id
