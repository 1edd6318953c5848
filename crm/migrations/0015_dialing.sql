-- The dialer: what a campaign is dialed like, the dialer as holder of items, and what its calls leave behind.

ALTER TABLE campaign
    ADD COLUMN dial_mode text NOT NULL DEFAULT 'manual'
               CHECK (dial_mode IN ('manual', 'preview', 'progressive', 'ratio', 'predictive')),
    ADD COLUMN dialing   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(dialing) = 'object');  -- crm.dialing

-- What the carrier allows on one line; 0 is no limit known.
ALTER TABLE trunk
    ADD COLUMN channels_max     integer NOT NULL DEFAULT 0 CHECK (channels_max BETWEEN 0 AND 100000),
    ADD COLUMN calls_per_second integer NOT NULL DEFAULT 0 CHECK (calls_per_second BETWEEN 0 AND 10000);

-- The dialer itself, in whose hands an item is until an agent takes it. Nobody's login can be spelled like
-- this one, no password matches it, and it is never active; it is in no list of users (crm.users).
INSERT INTO user_account (id, login, name, role, password, active)
VALUES (0, '#dialer', 'Discador', 'back_office', '', false);

-- An agent holds one item at most, the dialer (0) as many as it likes. held_until is in no index, so that
-- renewing a lease touches none.
DROP INDEX list_item_held_by;
CREATE UNIQUE INDEX list_item_held_by ON list_item (held_by, (CASE WHEN held_by = 0 THEN id END))
    NULLS NOT DISTINCT WHERE held_by IS NOT NULL;
-- Those not worked of each load, for a campaign that mixes its loads by share.
CREATE INDEX list_item_load ON list_item (campaign_id, load_id, priority, id)
    WHERE state = 0 AND due_at IS NULL AND held_by IS NULL;
-- What quotas count.
CREATE INDEX list_item_success ON list_item (campaign_id, contact_id) WHERE state = 4 AND result = 'success';

-- Of a call the dialer made nobody is the agent until one has it.
ALTER TABLE attempt
    ADD COLUMN by_dialer         boolean NOT NULL DEFAULT false,
    ADD COLUMN trunk_id          integer,  -- the trunk may be removed, the attempt stays
    ADD COLUMN connected         timestamptz,  -- an agent had the call
    ADD COLUMN agent_idle_seconds double precision,  -- that the agent had waited for it
    ADD COLUMN detection         text NOT NULL DEFAULT '',  -- what was heard: human, machine, fax, silence, music
    ADD COLUMN detection_ms      integer,
    DROP CONSTRAINT attempt_situation_check,
    ADD CONSTRAINT attempt_situation_check
        CHECK (situation IN ('dialing', 'completed', 'voicemail', 'busy', 'no_answer', 'invalid', 'congestion',
                             'rejected', 'failed', 'discarded_cti', 'discarded_customer', 'cancelled', 'blocked',
                             'not_dialed', 'abandoned', 'fax', 'silence'));

-- -- Reports: the new situations, counted as the others are ------------------------------------------------

ALTER TABLE report_day
    ADD COLUMN s_abandoned integer NOT NULL DEFAULT 0,
    ADD COLUMN s_fax       integer NOT NULL DEFAULT 0,
    ADD COLUMN s_silence   integer NOT NULL DEFAULT 0;

-- Added at the end, because what is counted already remembers their places.
CREATE OR REPLACE FUNCTION report_situations() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT '{completed,voicemail,busy,no_answer,invalid,congestion,rejected,failed,
                 discarded_cti,discarded_customer,cancelled,blocked,not_dialed,dialing,
                 abandoned,fax,silence}'::text[] $$;

-- Recounts items that changed, at most so many; answers how many it took up. Only one at a time, in a
-- transaction of one snapshot (REPEATABLE READ) begun after the lock was had: see crm.campaign_reports.refresh.
-- What belongs to lists that a rebuild discarded concerns no report and can wait: `discarded` asks for it.
CREATE OR REPLACE FUNCTION report_refresh(most integer, discarded boolean) RETURNS integer LANGUAGE plpgsql AS $$
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
                s_dialing, s_abandoned, s_fax, s_silence, r_success, r_failure, r_callback, i_not_worked,
                i_to_call_back, i_trying, i_trying_callback, i_success, i_hit_limit, i_cancelled, i_failure, i_concluded, opened)
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
               coalesce(sum(sign) FILTER (WHERE situation = 'abandoned'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'fax'), 0),
               coalesce(sum(sign) FILTER (WHERE situation = 'silence'), 0),
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
               s_abandoned = known.s_abandoned + excluded.s_abandoned,
               s_fax = known.s_fax + excluded.s_fax,
               s_silence = known.s_silence + excluded.s_silence,
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
CREATE OR REPLACE FUNCTION report_rebuild() RETURNS void LANGUAGE plpgsql AS $$
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
            s_abandoned, s_fax, s_silence, r_success, r_failure, r_callback, i_not_worked, i_to_call_back,
            i_trying, i_trying_callback,
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
           count(*) FILTER (WHERE situation = 'abandoned'), count(*) FILTER (WHERE situation = 'fax'),
           count(*) FILTER (WHERE situation = 'silence'),
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
