-- +goose Up
-- The pool: what each SIM may send, what it has sent, and which SIM sends what.

-- Alerts have a lane of their own. A CHECK cannot be changed otherwise without
-- writing every row of the largest table anew (sqlite.org/lang_altertable.html,
-- section 8: the change takes away a limit and makes no row invalid).
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql, 'lane BETWEEN 0 AND 2', 'lane BETWEEN 0 AND 3'),
    '-- 0 otp and alert, 1 normal, 2 bulk', '-- 0 otp, 1 alert, 2 normal, 3 bulk')
  WHERE type = 'table' AND name = 'message';
PRAGMA writable_schema = RESET;

DROP INDEX message_ready;
ALTER TABLE message ADD COLUMN bucket INTEGER NOT NULL DEFAULT 0;        -- bucket.id: which SIMs may have it, and when it may leave
ALTER TABLE message ADD COLUMN prefer_until INTEGER NOT NULL DEFAULT 0;  -- steady ms; > 0: sim is only preferred, until then
UPDATE message SET lane = CASE class WHEN 'alert' THEN 1 WHEN 'normal' THEN 2 ELSE 3 END WHERE class <> 'otp';
CREATE INDEX message_ready ON message(sim, bucket, lane, seq) WHERE state IN ('queued','sending') AND claimed_by = '' AND not_before = 0;
CREATE INDEX message_prefer  ON message(prefer_until) WHERE prefer_until > 0;
CREATE INDEX message_prefers ON message(sim) WHERE prefer_until > 0;

ALTER TABLE attempt ADD COLUMN why TEXT NOT NULL DEFAULT '';             -- why this SIM: a code

ALTER TABLE sim ADD COLUMN reset_day INTEGER NOT NULL DEFAULT 1;         -- of the month: its billing month begins
ALTER TABLE sim ADD COLUMN reserve_percent INTEGER NOT NULL DEFAULT 20;  -- of every limit, that bulk never has
ALTER TABLE sim ADD COLUMN limits_set INTEGER NOT NULL DEFAULT 0;        -- 1: sim_limit holds; 0: the defaults do
ALTER TABLE sim ADD COLUMN limit_told INTEGER NOT NULL DEFAULT 0;        -- what was told of its limits: 2 bits a window, minute first; 1 near, 2 reached
ALTER TABLE sim ADD COLUMN pace INTEGER NOT NULL DEFAULT 0;              -- messages a minute, of normal and bulk; 0 by the limits, -1 none
ALTER TABLE sim ADD COLUMN warm INTEGER NOT NULL DEFAULT 0;              -- 0 not decided, -1 warmed up or not wanted, else the day limit of now
ALTER TABLE sim ADD COLUMN warm_day TEXT NOT NULL DEFAULT '';            -- 2006-01-02, local: the last day with traffic
ALTER TABLE sim ADD COLUMN window_from INTEGER NOT NULL DEFAULT -1;      -- minutes of the day; -1 none
ALTER TABLE sim ADD COLUMN window_to INTEGER NOT NULL DEFAULT -1;
ALTER TABLE sim ADD COLUMN window_days INTEGER NOT NULL DEFAULT 127;     -- bit 0 Monday
ALTER TABLE sim ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;            -- 1: by a person
ALTER TABLE sim ADD COLUMN cmms INTEGER NOT NULL DEFAULT 0;              -- AT+CMMS: 0 unknown, 1 helps, -1 given up
ALTER TABLE sim ADD COLUMN credit_minor INTEGER;                         -- NULL unknown
ALTER TABLE sim ADD COLUMN credit_currency TEXT NOT NULL DEFAULT '';
ALTER TABLE sim ADD COLUMN credit_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sim ADD COLUMN credit_low INTEGER NOT NULL DEFAULT 0;        -- alarm below it, minor units
ALTER TABLE sim ADD COLUMN no_credit INTEGER NOT NULL DEFAULT 0;
UPDATE sim SET warm = -1; -- they have been in use

-- The limits that somebody chose: a row a window that has one. NULL: none.
CREATE TABLE sim_limit (
  iccid          TEXT NOT NULL,
  window         TEXT NOT NULL CHECK (window IN ('minute','hour','day','month')),
  max_segments   INTEGER,
  max_recipients INTEGER,
  PRIMARY KEY (iccid, window)
) WITHOUT ROWID;

-- One row a gate, for the last two hours: the minute and the hour slide.
CREATE TABLE usage (
  iccid     TEXT NOT NULL,
  attempt   INTEGER NOT NULL,              -- attempt.id, which grows; the usage stays when that row goes
  at        INTEGER NOT NULL,              -- steady ms
  recipient TEXT NOT NULL,
  day       TEXT NOT NULL,                 -- usage_period.start that it was counted in
  month     TEXT NOT NULL,
  PRIMARY KEY (iccid, attempt)
) WITHOUT ROWID;

-- Days and billing months, by the local time of day. '9999-12-31' is what was
-- sent while nobody knew the day: it counts in the one that is known next.
CREATE TABLE usage_period (
  iccid      TEXT NOT NULL,
  window     TEXT NOT NULL CHECK (window IN ('day','month')),
  start      TEXT NOT NULL,                -- 2006-01-02
  segments   INTEGER NOT NULL,
  recipients INTEGER NOT NULL,             -- distinct
  PRIMARY KEY (iccid, window, start)
) WITHOUT ROWID;
CREATE TABLE usage_recipient (
  iccid     TEXT NOT NULL,
  window    TEXT NOT NULL,
  start     TEXT NOT NULL,
  recipient TEXT NOT NULL,
  n         INTEGER NOT NULL,              -- segments
  PRIMARY KEY (iccid, window, start, recipient)
) WITHOUT ROWID;

-- Routes: the first that matches says which SIMs may send a message.
CREATE TABLE route (
  id        INTEGER PRIMARY KEY,
  position  INTEGER NOT NULL,
  name      TEXT NOT NULL DEFAULT '',
  enabled   INTEGER NOT NULL DEFAULT 1,
  prefixes  TEXT NOT NULL DEFAULT '[]',    -- JSON arrays; [] is anything
  countries TEXT NOT NULL DEFAULT '[]',
  operators TEXT NOT NULL DEFAULT '[]',
  classes   TEXT NOT NULL DEFAULT '[]',
  keys      TEXT NOT NULL DEFAULT '[]',
  fallback  TEXT NOT NULL DEFAULT 'any' CHECK (fallback IN ('any','wait')), -- when none of its SIMs is able
  created_at INTEGER NOT NULL
);
CREATE TABLE route_sim (
  route  INTEGER NOT NULL REFERENCES route(id) ON DELETE CASCADE,
  iccid  TEXT NOT NULL,
  weight INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (route, iccid)
) WITHOUT ROWID;
-- What waits for the same SIMs and has the same quiet hours.
CREATE TABLE bucket (
  id    INTEGER PRIMARY KEY,
  route INTEGER NOT NULL,                  -- 0: any SIM; no reference: what waits under a deleted one is moved later
  zone  TEXT NOT NULL,                     -- time zones of the recipient, separated by commas; '' not known
  UNIQUE (route, zone)
);
INSERT INTO bucket (id, route, zone) VALUES (0, 0, '');

CREATE TABLE credit_reading (
  id       INTEGER PRIMARY KEY,
  iccid    TEXT NOT NULL,
  at       INTEGER NOT NULL,
  code     TEXT NOT NULL,                  -- what was asked
  answer   TEXT NOT NULL,
  minor    INTEGER,                        -- NULL: it could not be read
  currency TEXT NOT NULL DEFAULT '',
  error    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX credit_reading_sim ON credit_reading(iccid, id);

-- One SIM texts another, to see that both are there.
CREATE TABLE canary (
  id         INTEGER PRIMARY KEY,
  token      TEXT NOT NULL UNIQUE,
  from_iccid TEXT NOT NULL,
  to_iccid   TEXT NOT NULL,
  message    TEXT NOT NULL DEFAULT '',     -- message.id; '' not submitted yet
  asked_by   TEXT NOT NULL DEFAULT '',     -- a person; '' the schedule or a suspicion
  started_at   INTEGER NOT NULL,
  submitted_at INTEGER NOT NULL DEFAULT 0,
  reported_at  INTEGER NOT NULL DEFAULT 0,
  arrived_at   INTEGER NOT NULL DEFAULT 0,
  ended_at     INTEGER NOT NULL DEFAULT 0,
  state      TEXT NOT NULL DEFAULT '',
  detail     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX canary_open ON canary(id) WHERE ended_at = 0;
CREATE INDEX canary_from ON canary(from_iccid, id);
CREATE INDEX canary_to   ON canary(to_iccid, id);

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
