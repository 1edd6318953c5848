-- Why an export or a scheduled report failed, kept so that it can be said in the reader's language (as import has it).

ALTER TABLE export ADD COLUMN error_values jsonb NOT NULL DEFAULT '{}';  -- what stands in for the names in braces
ALTER TABLE report_schedule ADD COLUMN error_values jsonb NOT NULL DEFAULT '{}';
UPDATE export SET error = 'The server was stopped meanwhile.' WHERE error = 'restart';
