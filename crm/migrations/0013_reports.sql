-- Reports: attempts counted by what reports ask for, who gets which report by e-mail, and the mail going out.

-- How many attempts of items on today's lists share a day, an agent, what came of them, and what their item is
-- now. 0 and '' stand for none, so that every column can be compared. Kept by report_refresh, read by reports.
CREATE TABLE report_cell (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id integer NOT NULL,
    generation  integer NOT NULL,
    day         date NOT NULL,
    user_id     integer NOT NULL,
    situation   text NOT NULL,
    result      text NOT NULL,
    state       smallint NOT NULL,  -- of the item: report_state
    last        boolean NOT NULL,  -- the item's latest attempt
    opened      boolean NOT NULL,  -- has a ticket, and no result yet
    n           integer NOT NULL,
    CONSTRAINT report_cell_once
        UNIQUE (day, campaign_id, generation, user_id, situation, result, state, last, opened)
) WITH (fillfactor = 80);

-- What each attempted item has put into the cells, so that it can be taken out again.
CREATE TABLE report_item (
    item_id      bigint PRIMARY KEY,
    last_attempt bigint NOT NULL,
    cells        integer[] NOT NULL  -- one for each attempt
) WITH (fillfactor = 80);

-- How many items each campaign's list has in each state, and how many of them were ever attempted.
CREATE TABLE report_list (
    campaign_id integer NOT NULL,
    generation  integer NOT NULL,
    state       smallint NOT NULL,
    n           bigint NOT NULL,
    attempted   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (campaign_id, generation, state)
);

-- What changed since report_refresh last looked. Only ever added to and taken from: nobody waits here.
CREATE TABLE report_item_change (
    campaign_id integer NOT NULL,
    generation  integer NOT NULL,
    item_id     bigint NOT NULL
);
CREATE TABLE report_list_change (
    campaign_id integer NOT NULL,
    generation  integer NOT NULL,
    state       smallint NOT NULL,
    n           bigint NOT NULL
);

-- An item's state with its result: 4 concluded with success, 7 with failure, 8 concluded without either.
CREATE FUNCTION report_state(state smallint, result text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT CASE WHEN state <> 4 OR result = 'success' THEN state
                      WHEN result = 'failure' THEN 7::smallint ELSE 8::smallint END $$;

-- The day of a moment where the centre is (crm.calls.ZONE).
CREATE FUNCTION report_day(at timestamptz) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (at AT TIME ZONE 'America/Sao_Paulo')::date $$;

-- Attempts of items that are on a list, as cells count them.
CREATE VIEW report_attempt AS
SELECT attempt.id, attempt.item_id, item.campaign_id, item.generation,
       report_day(attempt.started) AS day, coalesce(attempt.user_id, 0) AS user_id, attempt.situation,
       coalesce(attempt.result, '') AS result, report_state(item.state, item.result) AS state,
       row_number() OVER (PARTITION BY attempt.item_id ORDER BY attempt.started DESC, attempt.id DESC) = 1
           AS last,
       attempt.ticket_id IS NOT NULL AND attempt.result IS NULL AS opened
  FROM attempt JOIN list_item AS item ON item.id = attempt.item_id;

-- -- Noticing changes -------------------------------------------------------------------------------------

CREATE FUNCTION report_attempts_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_item_change (campaign_id, generation, item_id)
    SELECT DISTINCT campaign_id, generation, item_id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER report_attempts_added AFTER INSERT ON attempt
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION report_attempts_changed();
CREATE TRIGGER report_attempts_removed AFTER DELETE ON attempt
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION report_attempts_changed();

-- By statement, because one that moves an attempt to another month's partition updates no row.
CREATE FUNCTION report_attempts_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_item_change (campaign_id, generation, item_id)
    SELECT DISTINCT campaign_id, generation, item_id
      FROM ((SELECT id, campaign_id, generation, item_id, user_id, started, situation, result, ticket_id FROM before
             EXCEPT
             SELECT id, campaign_id, generation, item_id, user_id, started, situation, result, ticket_id FROM after)
            UNION ALL
            (SELECT id, campaign_id, generation, item_id, user_id, started, situation, result, ticket_id FROM after
             EXCEPT
             SELECT id, campaign_id, generation, item_id, user_id, started, situation, result, ticket_id FROM before)
           ) AS changed;
    RETURN NULL;
END $$;
CREATE TRIGGER report_attempts_updated AFTER UPDATE ON attempt
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION report_attempts_updated();

-- An item new on a list has no attempts yet, or those it had before it was taken off.
CREATE FUNCTION report_items_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_list_change (campaign_id, generation, state, n)
    SELECT campaign_id, generation, report_state(state, result), count(*)
      FROM changed GROUP BY campaign_id, generation, report_state(state, result);
    INSERT INTO report_item_change (campaign_id, generation, item_id)
    SELECT campaign_id, generation, id FROM changed WHERE attempts > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER report_items_added AFTER INSERT ON list_item
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION report_items_added();

CREATE FUNCTION report_items_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_list_change (campaign_id, generation, state, n)
    SELECT campaign_id, generation, report_state(state, result), -count(*)
      FROM changed GROUP BY campaign_id, generation, report_state(state, result);
    INSERT INTO report_item_change (campaign_id, generation, item_id)
    SELECT campaign_id, generation, id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER report_items_removed AFTER DELETE ON list_item
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION report_items_removed();

CREATE FUNCTION report_item_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_list_change (campaign_id, generation, state, n)
    VALUES (OLD.campaign_id, OLD.generation, report_state(OLD.state, OLD.result), -1),
           (NEW.campaign_id, NEW.generation, report_state(NEW.state, NEW.result), 1);
    INSERT INTO report_item_change (campaign_id, generation, item_id)
    VALUES (NEW.campaign_id, NEW.generation, NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER report_item_changed AFTER UPDATE ON list_item FOR EACH ROW
    WHEN ((OLD.campaign_id, OLD.generation, OLD.state, OLD.result)
          IS DISTINCT FROM (NEW.campaign_id, NEW.generation, NEW.state, NEW.result))
    EXECUTE FUNCTION report_item_changed();

-- -- Counting ---------------------------------------------------------------------------------------------

-- Recounts items that changed, at most so many; answers how many it took up. Only one at a time, in a
-- transaction of one snapshot (REPEATABLE READ) begun after the lock was had: see crm.campaign_reports.refresh.
-- What belongs to lists that a rebuild discarded concerns no report and can wait: `discarded` asks for it.
CREATE FUNCTION report_refresh(most integer, discarded boolean) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    changed bigint[];
BEGIN
    WITH gone AS (DELETE FROM report_list_change RETURNING campaign_id, generation, state, n)
    INSERT INTO report_list AS known (campaign_id, generation, state, n)
    SELECT campaign_id, generation, state, sum(n) FROM gone GROUP BY campaign_id, generation, state
    ON CONFLICT (campaign_id, generation, state) DO UPDATE SET n = known.n + excluded.n;

    WITH gone AS (
        DELETE FROM report_item_change WHERE ctid = ANY (ARRAY (
            SELECT change.ctid FROM report_item_change AS change
              LEFT JOIN campaign ON campaign.id = change.campaign_id
             WHERE discarded OR campaign.generation = change.generation LIMIT most))
        RETURNING item_id)
    SELECT array_agg(DISTINCT item_id) INTO changed FROM gone;
    IF changed IS NULL THEN
        RETURN 0;
    END IF;

    WITH put AS (
        SELECT cell, count(*) AS times FROM report_item, unnest(cells) AS cell
         WHERE item_id = ANY (changed) GROUP BY cell)
    UPDATE report_cell SET n = n - put.times FROM put WHERE id = put.cell;
    WITH put AS (DELETE FROM report_item WHERE item_id = ANY (changed) RETURNING cells[1] AS cell)
    INSERT INTO report_list AS known (campaign_id, generation, state, n, attempted)
    SELECT campaign_id, generation, state, 0, -count(*) FROM put JOIN report_cell ON id = put.cell
     GROUP BY campaign_id, generation, state
    ON CONFLICT (campaign_id, generation, state) DO UPDATE SET attempted = known.attempted + excluded.attempted;

    WITH counted AS MATERIALIZED (
        SELECT id, item_id, campaign_id, generation, day, user_id, situation, result, state, last, opened
          FROM report_attempt WHERE item_id = ANY (changed)),
    cell AS (
        INSERT INTO report_cell AS known
               (campaign_id, generation, day, user_id, situation, result, state, last, opened, n)
        SELECT campaign_id, generation, day, user_id, situation, result, state, last, opened, count(*)
          FROM counted
         GROUP BY campaign_id, generation, day, user_id, situation, result, state, last, opened
        ON CONFLICT ON CONSTRAINT report_cell_once DO UPDATE SET n = known.n + excluded.n
        RETURNING id, campaign_id, generation, day, user_id, situation, result, state, last, opened),
    attempted AS (
        INSERT INTO report_list AS known (campaign_id, generation, state, n, attempted)
        SELECT campaign_id, generation, state, 0, count(*) FROM counted WHERE last
         GROUP BY campaign_id, generation, state
        ON CONFLICT (campaign_id, generation, state)
        DO UPDATE SET attempted = known.attempted + excluded.attempted)
    INSERT INTO report_item (item_id, last_attempt, cells)
    SELECT counted.item_id, max(counted.id) FILTER (WHERE counted.last), array_agg(cell.id)
      FROM counted JOIN cell USING
           (campaign_id, generation, day, user_id, situation, result, state, last, opened)
     GROUP BY counted.item_id;
    RETURN cardinality(changed);
END $$;

-- Counts everything again from the attempts themselves; the same lock and snapshot as above.
CREATE FUNCTION report_rebuild() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM report_item_change;
    DELETE FROM report_list_change;
    DELETE FROM report_item;
    DELETE FROM report_cell;
    DELETE FROM report_list;
    CREATE TEMP TABLE counted ON COMMIT DROP AS
    SELECT id, item_id, campaign_id, generation, day, user_id, situation, result, state, last, opened
      FROM report_attempt;
    INSERT INTO report_list (campaign_id, generation, state, n, attempted)
    SELECT campaign_id, generation, state, sum(n), sum(attempted)
      FROM (SELECT campaign_id, generation, report_state(state, result) AS state, 1 AS n, 0 AS attempted
              FROM list_item
             UNION ALL
            SELECT campaign_id, generation, state, 0, 1 FROM counted WHERE last) AS item
     GROUP BY campaign_id, generation, state;
    INSERT INTO report_cell (campaign_id, generation, day, user_id, situation, result, state, last, opened, n)
    SELECT campaign_id, generation, day, user_id, situation, result, state, last, opened, count(*)
      FROM counted
     GROUP BY campaign_id, generation, day, user_id, situation, result, state, last, opened
     ORDER BY day, campaign_id;
    INSERT INTO report_item (item_id, last_attempt, cells)
    SELECT counted.item_id, max(counted.id) FILTER (WHERE counted.last), array_agg(cell.id)
      FROM counted JOIN report_cell AS cell USING
           (campaign_id, generation, day, user_id, situation, result, state, last, opened)
     GROUP BY counted.item_id;
END $$;
SELECT report_rebuild();

-- -- Listing ----------------------------------------------------------------------------------------------

-- The attempts behind a number, newest first; and those found by their tickets and callbacks.
CREATE INDEX attempt_started ON attempt (started, id);
CREATE INDEX attempt_user ON attempt (user_id, started);
CREATE INDEX attempt_ticket ON attempt (ticket_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX attempt_callback ON attempt (callback_at) WHERE callback_at IS NOT NULL;
CREATE INDEX ticket_updated ON ticket (updated);
CREATE INDEX ticket_closed ON ticket (closed) WHERE closed IS NOT NULL;

-- -- By e-mail --------------------------------------------------------------------------------------------

CREATE TABLE report_schedule (
    id         integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    report     text NOT NULL CHECK (report ~ '^r[1-8]$'),
    name       text NOT NULL CHECK (name <> ''),
    filter     jsonb NOT NULL,  -- the page's address: [[name, value], …] without a period
    format     text NOT NULL CHECK (format IN ('csv', 'xlsx')),
    recipients text[] NOT NULL CHECK (cardinality(recipients) BETWEEN 1 AND 20),
    every      text NOT NULL CHECK (every IN ('day', 'week', 'month')),
    at         time NOT NULL,  -- where the centre is
    next_due   timestamptz NOT NULL,
    last_sent  timestamptz,
    last_error text NOT NULL DEFAULT '',
    owner      integer NOT NULL REFERENCES user_account (id),
    active     boolean NOT NULL DEFAULT true
);
CREATE INDEX report_schedule_due ON report_schedule (next_due) WHERE active;

-- E-mail on its way. A row for each recipient, so that one wrong address does not hold the others up.
CREATE TABLE outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    to_address      text NOT NULL,
    subject         text NOT NULL,
    body            text NOT NULL,
    attachment      text,  -- path below the data folder
    attachment_name text,
    state           text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
    tries           integer NOT NULL DEFAULT 0,
    next_try        timestamptz NOT NULL DEFAULT now(),
    error           text NOT NULL DEFAULT '',
    at              timestamptz NOT NULL DEFAULT now(),
    sent            timestamptz
);
CREATE INDEX outbox_waiting ON outbox (next_try) WHERE state = 'waiting';
CREATE INDEX outbox_at ON outbox (at);
