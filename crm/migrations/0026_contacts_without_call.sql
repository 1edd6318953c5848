-- What came of a contact that was no call (the customer came, wrote, or called by themselves): an action, no attempt.

ALTER TABLE action ADD COLUMN without_call boolean NOT NULL DEFAULT false;
CREATE INDEX action_without_call ON action (campaign_id, at) WHERE without_call;
