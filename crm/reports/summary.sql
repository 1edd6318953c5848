-- UAU-R2 and UAU-R4: the list of each campaign as it is, and what came of the attempts.
WITH {chosen}, {counted}, {contacts},
list AS (
    SELECT campaign_id, sum(n) AS loaded, sum(n) FILTER (WHERE state = 0) AS not_worked
      FROM report_list JOIN chosen USING (campaign_id, generation) GROUP BY campaign_id
),
worked AS (
    SELECT campaign_id, sum(n) AS worked, sum(n - s_completed - s_voicemail - s_fax - s_silence - s_dialing) AS not_answered,
           sum(s_completed) AS answered, sum(r_success) AS success, sum(r_failure) AS failure,
           sum(r_callback) AS callbacks, sum(opened) AS pre_opened, sum(s_voicemail + s_fax + s_silence) AS by_machine
      FROM counted GROUP BY campaign_id
)
SELECT chosen.campaign_id, chosen.name AS campaign, coalesce(list.loaded, 0)::bigint AS loaded,
       coalesce(list.not_worked, 0)::bigint AS not_worked, coalesce(worked.worked, 0)::bigint AS worked,
       coalesce(worked.not_answered, 0)::bigint AS not_answered,
       coalesce(worked.answered, 0)::bigint AS answered, coalesce(worked.success, 0)::bigint AS success,
       coalesce(worked.failure, 0)::bigint AS failure, coalesce(worked.callbacks, 0)::bigint AS callbacks,
       coalesce(worked.pre_opened, 0)::bigint AS pre_opened,
       coalesce(worked.by_machine, 0)::bigint AS by_machine,
       (SELECT coalesce(sum(without_call), 0)::bigint FROM contacts
         WHERE contacts.campaign_id = chosen.campaign_id) AS without_call
  FROM chosen LEFT JOIN list USING (campaign_id) LEFT JOIN worked USING (campaign_id)
 WHERE list.loaded > 0 OR worked.worked > 0
 ORDER BY f_norm(chosen.name), chosen.campaign_id
