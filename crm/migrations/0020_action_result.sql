-- What an action led to, also where the agent chose no kind of action; and an agent's own figures by their time.

ALTER TABLE action ADD COLUMN result text NOT NULL DEFAULT ''
    CHECK (result IN ('', 'success', 'failure', 'callback'));
UPDATE action SET result = action_outcome.result
  FROM action_outcome WHERE action_outcome.id = action.outcome_id AND action.no_contact = '';
CREATE INDEX action_user ON action (user_id, at);
