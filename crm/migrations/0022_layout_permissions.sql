-- Calls that a layout serves beside those of the queues and campaigns which name it (EPB-69).
CREATE TABLE layout_permission (
    layout_id   integer NOT NULL REFERENCES layout (id) ON DELETE CASCADE,
    position    integer NOT NULL,
    group_id    integer REFERENCES user_group (id),  -- none: every agent
    campaign_id integer REFERENCES campaign (id) ON DELETE CASCADE,  -- none: every call
    scenarios   text[] NOT NULL
                CHECK (cardinality(scenarios) > 0 AND scenarios <@ ARRAY['dialer', 'manual', 'inbound']),
    PRIMARY KEY (layout_id, position)
);
CREATE INDEX layout_permission_group ON layout_permission (group_id);
CREATE INDEX layout_permission_campaign ON layout_permission (campaign_id);
