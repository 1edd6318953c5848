-- Whether a campaign has validity and operating hours to define (UAU-12), also before they are defined.
ALTER TABLE campaign ADD COLUMN defines_hours boolean NOT NULL DEFAULT false;
UPDATE campaign SET defines_hours = NOT permanent OR hours_preset <> '24h';
