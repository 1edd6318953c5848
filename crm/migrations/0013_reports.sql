-- Reports: attempts counted by what reports ask for, who gets which report by e-mail, and the mail going out.

-- Attempts of items on today's lists, counted for each day, campaign and agent: the latest of their items in
-- one row, the earlier in another. s_ by what came of the attempt, r_ by its result, i_ by what its item is now
-- (report_state). Agent 0 is nobody. Kept by report_refresh, read by reports.
CREATE TABLE report_day (
    id                    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day                   date NOT NULL,
    campaign_id           integer NOT NULL,
    generation            integer NOT NULL,
    user_id               integer NOT NULL,
    last                  boolean NOT NULL,
    n                     integer NOT NULL,
    s_completed           integer NOT NULL DEFAULT 0,
    s_voicemail           integer NOT NULL DEFAULT 0,
    s_busy                integer NOT NULL DEFAULT 0,
    s_no_answer           integer NOT NULL DEFAULT 0,
    s_invalid             integer NOT NULL DEFAULT 0,
    s_congestion          integer NOT NULL DEFAULT 0,
    s_rejected            integer NOT NULL DEFAULT 0,
    s_failed              integer NOT NULL DEFAULT 0,
    s_discarded_cti       integer NOT NULL DEFAULT 0,
    s_discarded_customer  integer NOT NULL DEFAULT 0,
    s_cancelled           integer NOT NULL DEFAULT 0,
    s_blocked             integer NOT NULL DEFAULT 0,
    s_not_dialed          integer NOT NULL DEFAULT 0,
    s_dialing             integer NOT NULL DEFAULT 0,
    r_success             integer NOT NULL DEFAULT 0,
    r_failure             integer NOT NULL DEFAULT 0,
    r_callback            integer NOT NULL DEFAULT 0,
    i_not_worked          integer NOT NULL DEFAULT 0,
    i_to_call_back        integer NOT NULL DEFAULT 0,
    i_trying              integer NOT NULL DEFAULT 0,
    i_trying_callback     integer NOT NULL DEFAULT 0,
    i_success             integer NOT NULL DEFAULT 0,
    i_hit_limit           integer NOT NULL DEFAULT 0,
    i_cancelled           integer NOT NULL DEFAULT 0,
    i_failure             integer NOT NULL DEFAULT 0,
    i_concluded           integer NOT NULL DEFAULT 0,
    opened                integer NOT NULL DEFAULT 0,  -- has a ticket, and no result yet
    CONSTRAINT report_day_once UNIQUE (day, campaign_id, generation, user_id, last)
) WITH (fillfactor = 80);
CREATE INDEX report_day_user ON report_day (user_id, day);

-- What each attempted item has put into the counts, so that it can be taken out again.
CREATE TABLE report_item (
    item_id      bigint PRIMARY KEY,
    last_attempt bigint NOT NULL,
    state        smallint NOT NULL,
    days         integer[] NOT NULL,  -- of each attempt: its row of report_day
    kinds        smallint[] NOT NULL  -- and what it counts there: report_kind
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

-- What an attempt counts, in one number, and back again.
CREATE FUNCTION report_situations() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT '{completed,voicemail,busy,no_answer,invalid,congestion,rejected,failed,
                 discarded_cti,discarded_customer,cancelled,blocked,not_dialed,dialing}'::text[] $$;
CREATE FUNCTION report_results() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT '{"",success,failure,callback}'::text[] $$;
CREATE FUNCTION report_kind(situation text, result text, opened boolean) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (16 * array_position(report_situations(), situation)
                  + 2 * array_position(report_results(), result) + opened::integer)::smallint $$;

-- The day of a moment where the centre is (crm.calls.ZONE).
CREATE FUNCTION report_day(at timestamptz) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (at AT TIME ZONE 'America/Sao_Paulo')::date $$;

-- Attempts of items that are on a list, as they are counted.
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

    WITH put AS (  -- what they counted until now
        SELECT known.item_id, day.day, day.campaign_id, day.generation, day.user_id, day.last, known.state,
               (report_situations())[kind / 16] AS situation, (report_results())[kind % 16 / 2] AS result,
               kind % 2 = 1 AS opened
          FROM report_item AS known, unnest(known.days, known.kinds) AS mark (day_id, kind)
          JOIN report_day AS day ON day.id = mark.day_id
         WHERE known.item_id = ANY (changed)),
    counted AS MATERIALIZED (  -- what they count from now on
        SELECT id, item_id, day, campaign_id, generation, user_id, last, state, situation, result, opened
          FROM report_attempt WHERE item_id = ANY (changed)),
    difference AS MATERIALIZED (
        SELECT -1 AS sign, day, campaign_id, generation, user_id, last, state, situation, result, opened FROM put
         UNION ALL
        SELECT 1, day, campaign_id, generation, user_id, last, state, situation, result, opened FROM counted),
    attempted AS (
        INSERT INTO report_list AS known (campaign_id, generation, state, n, attempted)
        SELECT campaign_id, generation, state, 0, sum(sign) FROM difference WHERE last
         GROUP BY campaign_id, generation, state
        ON CONFLICT (campaign_id, generation, state)
        DO UPDATE SET attempted = known.attempted + excluded.attempted),
    day AS (
        INSERT INTO report_day AS known
               (day, campaign_id, generation, user_id, last,
                n, s_completed, s_voicemail, s_busy, s_no_answer, s_invalid, s_congestion, s_rejected,
                s_failed, s_discarded_cti, s_discarded_customer, s_cancelled, s_blocked, s_not_dialed,
                s_dialing, r_success, r_failure, r_callback, i_not_worked, i_to_call_back, i_trying,
                i_trying_callback, i_success, i_hit_limit, i_cancelled, i_failure, i_concluded, opened)
        SELECT day, campaign_id, generation, user_id, last,
               sum(sign), coalesce(sum(sign) FILTER (WHERE situation = 'completed'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'voicemail'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'busy'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'no_answer'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'invalid'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'congestion'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'rejected'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'failed'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'discarded_cti'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'discarded_customer'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'cancelled'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'blocked'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'not_dialed'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'dialing'), 0),
               coalesce(sum(sign) FILTER (WHERE result = 'success'), 0),
               coalesce(sum(sign) FILTER (WHERE result = 'failure'), 0),
               coalesce(sum(sign) FILTER (WHERE result = 'callback'), 0),
               coalesce(sum(sign) FILTER (WHERE state = 0), 0),
               coalesce(sum(sign) FILTER (WHERE state = 1), 0),
               coalesce(sum(sign) FILTER (WHERE state = 2), 0),
               coalesce(sum(sign) FILTER (WHERE state = 3), 0),
               coalesce(sum(sign) FILTER (WHERE state = 4), 0),
               coalesce(sum(sign) FILTER (WHERE state = 5), 0),
               coalesce(sum(sign) FILTER (WHERE state = 6), 0),
               coalesce(sum(sign) FILTER (WHERE state = 7), 0),
               coalesce(sum(sign) FILTER (WHERE state = 8), 0), coalesce(sum(sign) FILTER (WHERE opened), 0)
          FROM difference GROUP BY day, campaign_id, generation, user_id, last
        ON CONFLICT ON CONSTRAINT report_day_once DO UPDATE SET
               n = known.n + excluded.n, s_completed = known.s_completed + excluded.s_completed,
               s_voicemail = known.s_voicemail + excluded.s_voicemail,
               s_busy = known.s_busy + excluded.s_busy,
               s_no_answer = known.s_no_answer + excluded.s_no_answer,
               s_invalid = known.s_invalid + excluded.s_invalid,
               s_congestion = known.s_congestion + excluded.s_congestion,
               s_rejected = known.s_rejected + excluded.s_rejected,
               s_failed = known.s_failed + excluded.s_failed,
               s_discarded_cti = known.s_discarded_cti + excluded.s_discarded_cti,
               s_discarded_customer = known.s_discarded_customer + excluded.s_discarded_customer,
               s_cancelled = known.s_cancelled + excluded.s_cancelled,
               s_blocked = known.s_blocked + excluded.s_blocked,
               s_not_dialed = known.s_not_dialed + excluded.s_not_dialed,
               s_dialing = known.s_dialing + excluded.s_dialing,
               r_success = known.r_success + excluded.r_success,
               r_failure = known.r_failure + excluded.r_failure,
               r_callback = known.r_callback + excluded.r_callback,
               i_not_worked = known.i_not_worked + excluded.i_not_worked,
               i_to_call_back = known.i_to_call_back + excluded.i_to_call_back,
               i_trying = known.i_trying + excluded.i_trying,
               i_trying_callback = known.i_trying_callback + excluded.i_trying_callback,
               i_success = known.i_success + excluded.i_success,
               i_hit_limit = known.i_hit_limit + excluded.i_hit_limit,
               i_cancelled = known.i_cancelled + excluded.i_cancelled,
               i_failure = known.i_failure + excluded.i_failure,
               i_concluded = known.i_concluded + excluded.i_concluded,
               opened = known.opened + excluded.opened
        RETURNING id, day, campaign_id, generation, user_id, last)
    INSERT INTO report_item AS known (item_id, last_attempt, state, days, kinds)
    SELECT item_id, max(counted.id) FILTER (WHERE counted.last), max(counted.state), array_agg(day.id),
           array_agg(report_kind(situation, result, opened))
      FROM counted JOIN day USING (day, campaign_id, generation, user_id, last)
     GROUP BY item_id
    ON CONFLICT (item_id) DO UPDATE SET
           last_attempt = excluded.last_attempt, state = excluded.state, days = excluded.days,
           kinds = excluded.kinds;
    DELETE FROM report_item WHERE item_id = ANY (changed)
       AND NOT (SELECT EXISTS (SELECT FROM list_item WHERE id = report_item.item_id)
                   AND EXISTS (SELECT FROM attempt WHERE attempt.item_id = report_item.item_id));
    RETURN cardinality(changed);
END $$;

-- Counts everything again from the attempts themselves; the same lock and snapshot as above.
CREATE FUNCTION report_rebuild() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM report_item_change;
    DELETE FROM report_list_change;
    DELETE FROM report_item;
    DELETE FROM report_day;
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
    INSERT INTO report_day
           (day, campaign_id, generation, user_id, last,
            n, s_completed, s_voicemail, s_busy, s_no_answer, s_invalid, s_congestion, s_rejected, s_failed,
            s_discarded_cti, s_discarded_customer, s_cancelled, s_blocked, s_not_dialed, s_dialing,
            r_success, r_failure, r_callback, i_not_worked, i_to_call_back, i_trying, i_trying_callback,
            i_success, i_hit_limit, i_cancelled, i_failure, i_concluded, opened)
    SELECT day, campaign_id, generation, user_id, last,
           count(*), count(*) FILTER (WHERE situation = 'completed'),
           count(*) FILTER (WHERE situation = 'voicemail'), count(*) FILTER (WHERE situation = 'busy'),
           count(*) FILTER (WHERE situation = 'no_answer'), count(*) FILTER (WHERE situation = 'invalid'),
           count(*) FILTER (WHERE situation = 'congestion'), count(*) FILTER (WHERE situation = 'rejected'),
           count(*) FILTER (WHERE situation = 'failed'),
           count(*) FILTER (WHERE situation = 'discarded_cti'),
           count(*) FILTER (WHERE situation = 'discarded_customer'),
           count(*) FILTER (WHERE situation = 'cancelled'), count(*) FILTER (WHERE situation = 'blocked'),
           count(*) FILTER (WHERE situation = 'not_dialed'), count(*) FILTER (WHERE situation = 'dialing'),
           count(*) FILTER (WHERE result = 'success'), count(*) FILTER (WHERE result = 'failure'),
           count(*) FILTER (WHERE result = 'callback'), count(*) FILTER (WHERE state = 0),
           count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2),
           count(*) FILTER (WHERE state = 3), count(*) FILTER (WHERE state = 4),
           count(*) FILTER (WHERE state = 5), count(*) FILTER (WHERE state = 6),
           count(*) FILTER (WHERE state = 7), count(*) FILTER (WHERE state = 8),
           count(*) FILTER (WHERE opened)
      FROM counted GROUP BY day, campaign_id, generation, user_id, last ORDER BY day, campaign_id;
    INSERT INTO report_item (item_id, last_attempt, state, days, kinds)
    SELECT item_id, max(counted.id) FILTER (WHERE counted.last), max(counted.state), array_agg(day.id),
           array_agg(report_kind(situation, result, counted.opened))
      FROM counted JOIN report_day AS day USING (day, campaign_id, generation, user_id, last)
     GROUP BY item_id;
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
