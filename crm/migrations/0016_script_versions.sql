-- A script as it was in each of its versions, so that an older one can be looked at and brought back.

CREATE TABLE script_version (
    script_id  integer NOT NULL REFERENCES script (id) ON DELETE CASCADE,
    version    integer NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    by_user_id integer REFERENCES user_account (id),
    body       jsonb NOT NULL,  -- name, kind and steps, as crm.scripts.checked takes them
    PRIMARY KEY (script_id, version)
);
