-- Whom the validation of a list said no to, or gave no answer about, when the list was recorded.
CREATE TABLE campaign_load_refusal (
    load_id    integer NOT NULL REFERENCES campaign_load (id) ON DELETE CASCADE,
    contact_id bigint NOT NULL REFERENCES contact (id) ON DELETE CASCADE,
    failed     boolean NOT NULL,  -- no answer; else it said no
    why        text NOT NULL,     -- the validation's own words, or a sentence of ours
    facts      jsonb,             -- what our sentence is completed with; null: they are the validation's words
    PRIMARY KEY (load_id, contact_id)
);
CREATE INDEX campaign_load_refusal_contact ON campaign_load_refusal (contact_id);
