-- UAU-R1: each agent's items, counted once under the agent of their latest attempt, and everybody's attempts.
-- Items nobody attempted yet stand in a row without an agent (user_id null), unless one agent is asked for.
WITH {chosen}, {counted}, {contacts},
worked AS (
    SELECT campaign_id, user_id,
           sum(n) FILTER (WHERE last) AS items,
           sum(i_not_worked) FILTER (WHERE last) AS not_worked,
           sum(i_success) FILTER (WHERE last) AS success,
           sum(i_failure) FILTER (WHERE last) AS failure,
           sum(i_to_call_back) FILTER (WHERE last) AS to_call_back,
           sum(i_hit_limit) FILTER (WHERE last) AS hit_limit,
           sum(i_trying) FILTER (WHERE last) AS trying,
           sum(i_trying_callback) FILTER (WHERE last) AS trying_callback,
           sum(i_cancelled) FILTER (WHERE last) AS cancelled,
           sum(s_completed) AS effective,
           sum(n - s_completed - s_dialing) AS unsuccessful,
           sum(n) AS attempts,
           sum(s_voicemail + s_fax + s_silence) AS by_machine
      FROM counted GROUP BY campaign_id, user_id
     UNION ALL
    SELECT campaign_id, NULL, sum(rest), sum(rest) FILTER (WHERE state = 0),
           sum(rest) FILTER (WHERE state = 4), sum(rest) FILTER (WHERE state = 7),
           sum(rest) FILTER (WHERE state = 1), sum(rest) FILTER (WHERE state = 5),
           sum(rest) FILTER (WHERE state = 2), sum(rest) FILTER (WHERE state = 3),
           sum(rest) FILTER (WHERE state = 6), 0, 0, 0, 0
      FROM (SELECT campaign_id, state, n - attempted AS rest
              FROM report_list JOIN chosen USING (campaign_id, generation)) AS list
     WHERE $5::integer IS NULL
     GROUP BY campaign_id HAVING sum(rest) > 0
)
SELECT chosen.campaign_id, user_id, chosen.name AS campaign, coalesce(user_account.name, '') AS agent,
       coalesce(items, 0)::bigint AS items, coalesce(not_worked, 0)::bigint AS not_worked,
       coalesce(success, 0)::bigint AS success, coalesce(failure, 0)::bigint AS failure,
       coalesce(to_call_back, 0)::bigint AS to_call_back, coalesce(hit_limit, 0)::bigint AS hit_limit,
       coalesce(trying, 0)::bigint AS trying, coalesce(trying_callback, 0)::bigint AS trying_callback,
       coalesce(cancelled, 0)::bigint AS cancelled, coalesce(effective, 0)::bigint AS effective,
       coalesce(unsuccessful, 0)::bigint AS unsuccessful, coalesce(attempts, 0)::bigint AS attempts,
       coalesce(by_machine, 0)::bigint AS by_machine, coalesce(without_call, 0)::bigint AS without_call
  FROM worked FULL JOIN contacts USING (campaign_id, user_id) JOIN chosen USING (campaign_id)
  LEFT JOIN user_account ON user_account.id = user_id
 ORDER BY f_norm(chosen.name), chosen.campaign_id, user_id IS NULL, f_norm(user_account.name), user_id
