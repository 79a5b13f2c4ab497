-- +goose Up
-- Webhooks: to whom events are told, and what became of each. Ticks are
-- milliseconds of the outbox's own clock, which no change of the wall clock moves.
CREATE TABLE webhook (
  id          TEXT PRIMARY KEY,            -- UUIDv7
  url         TEXT NOT NULL,
  events      TEXT NOT NULL,               -- patterns, separated by spaces
  description TEXT NOT NULL DEFAULT '',
  active      INTEGER NOT NULL,
  allow_private INTEGER NOT NULL,          -- private networks, and http
  secret      BLOB NOT NULL,               -- sealed under recado.key
  old_secret  BLOB,                        -- sealed; signs beside the new one …
  old_until   INTEGER NOT NULL DEFAULT 0,  -- … until this tick
  cursor      INTEGER NOT NULL,            -- event.seq: up to it every event has its row in webhook_delivery, or is not wanted
  gone        INTEGER NOT NULL DEFAULT 0,  -- 1: switched off because it answered 410
  failures    INTEGER NOT NULL DEFAULT 0,  -- consecutive attempts that failed
  failing_since   INTEGER NOT NULL DEFAULT 0,
  paused_until    INTEGER NOT NULL DEFAULT 0, -- tick: nothing is tried before
  recovered       INTEGER NOT NULL DEFAULT 0, -- tick: what failed before it goes again at once; 0 nothing
  last_error      TEXT NOT NULL DEFAULT '',
  last_status     INTEGER NOT NULL DEFAULT 0,
  last_attempt_at INTEGER NOT NULL DEFAULT 0,
  last_success_at INTEGER NOT NULL DEFAULT 0,
  created_at      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE webhook_delivery (
  seq        INTEGER PRIMARY KEY,
  id         BLOB NOT NULL UNIQUE,         -- UUIDv7
  webhook    TEXT NOT NULL REFERENCES webhook(id) ON DELETE CASCADE,
  event      INTEGER NOT NULL,             -- event.seq; no reference: the event may go before
  event_id   TEXT NOT NULL,
  type       TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('pending','delivered','dead','skipped','failed')),
               -- dead: given up, until somebody replays it; skipped: the event was erased; failed: a test
  attempts   INTEGER NOT NULL DEFAULT 0,   -- since it began, or was replayed
  first_tick INTEGER NOT NULL,             -- when that was
  next_tick  INTEGER NOT NULL,             -- of the next attempt
  tried_tick INTEGER NOT NULL DEFAULT 0,   -- of the last
  status     INTEGER NOT NULL DEFAULT 0,   -- HTTP's, of the last answer; 0 none
  error      TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL,
  tried_at   INTEGER NOT NULL DEFAULT 0,
  done_at    INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX webhook_delivery_once  ON webhook_delivery(webhook, event);
CREATE INDEX webhook_delivery_due   ON webhook_delivery(webhook, next_tick, event) WHERE state = 'pending';
CREATE INDEX webhook_delivery_order ON webhook_delivery(webhook, event) WHERE state = 'pending';
CREATE INDEX webhook_delivery_dead  ON webhook_delivery(webhook, event) WHERE state = 'dead';

-- The outbox's clock as it was last written down, with the wall clock then.
CREATE TABLE webhook_clock (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  tick INTEGER NOT NULL,
  wall INTEGER NOT NULL,
  trusted INTEGER NOT NULL
);
INSERT INTO webhook_clock (one, tick, wall, trusted) VALUES (1, 0, 0, 0);

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
