-- Attempts one by one, newest first: UAU-R3, UAU-R5, UAU-R8, and those behind a number.
SELECT attempt.id AS attempt_id, attempt.item_id, attempt.started, attempt.answered, attempt.attempt_number,
       attempt.situation, attempt.result, attempt.number, attempt.talk_seconds, attempt.handle_seconds,
       attempt.call_id, report_state(item.state, item.result) AS state, campaign.id AS campaign_id,
       campaign.name AS campaign, contact.id AS contact_id, contact.name AS customer, contact.document,
       contact.external_code, user_account.name AS agent, ticket.id AS ticket_id,
       coalesce(ticket.protocol, '') AS ticket
  FROM (SELECT attempt.id, attempt.item_id, attempt.started, attempt.answered, attempt.attempt_number,
               attempt.situation, attempt.result, attempt.number, attempt.talk_seconds,
               attempt.handle_seconds, attempt.call_id, attempt.user_id, attempt.ticket_id
          FROM {attempts}
         WHERE {conditions}
         ORDER BY attempt.started DESC, attempt.id DESC {page}) AS attempt
  JOIN list_item AS item ON item.id = attempt.item_id
  JOIN campaign ON campaign.id = item.campaign_id
  JOIN contact ON contact.id = item.contact_id
  LEFT JOIN user_account ON user_account.id = attempt.user_id
  LEFT JOIN ticket ON ticket.id = attempt.ticket_id
 ORDER BY attempt.started DESC, attempt.id DESC
