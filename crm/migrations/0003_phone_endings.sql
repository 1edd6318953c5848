-- Contacts are looked for by the last digits of a phone, as many as somebody remembers.
CREATE INDEX contact_phone_reverse ON contact_phone (reverse(number) text_pattern_ops);
