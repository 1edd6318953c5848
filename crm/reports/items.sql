-- Items one by one, in the order of their list: those nobody attempted yet, or those behind a number.
SELECT item.id AS item_id, item.attempts AS attempt_number, report_state(item.state, item.result) AS state,
       item.last_attempt_at, campaign.id AS campaign_id, campaign.name AS campaign, contact.id AS contact_id,
       contact.name AS customer, contact.document, contact.external_code
  FROM (SELECT item.id FROM {items} WHERE {conditions} ORDER BY item.id {page}) AS found
  JOIN list_item AS item ON item.id = found.id
  JOIN campaign ON campaign.id = item.campaign_id
  JOIN contact ON contact.id = item.contact_id
 ORDER BY item.id
