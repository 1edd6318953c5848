-- Callbacks by when they are due, whoever's they are and in whoever's hands: what supervisors look at.
CREATE INDEX list_item_due ON list_item (campaign_id, due_at, priority, id) INCLUDE (state, callback_owner)
    WHERE state IN (1, 3);
