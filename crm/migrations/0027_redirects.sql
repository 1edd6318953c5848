-- Whether a call over a trunk goes on where the carrier's 3xx answer sends it.

ALTER TABLE trunk ADD COLUMN follows_redirects boolean NOT NULL DEFAULT false;
