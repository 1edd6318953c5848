-- The last eight digits of a number are found by contact_phone_reverse, as any other number of last digits.
DROP INDEX contact_phone_ending;
ALTER TABLE contact_phone DROP COLUMN ending;
