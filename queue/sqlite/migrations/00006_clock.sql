-- +goose Up
-- The clock by which a message's times were taken: the start of the box (0:
-- before this version), the wall clock less the steady one, ms, and whether it
-- could not be trusted then. When the time becomes known, they are put right.
ALTER TABLE message ADD COLUMN clock_boot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN clock_line INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN clock_doubt INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_doubt ON message(seq) WHERE clock_doubt = 1;

-- not_before of what is scheduled is a time of day. That of a back-off is of
-- the steady clock, as avoid_until and decide_at are, and idempotency.created_at:
-- nobody can set that one.
DROP INDEX message_wait;
CREATE INDEX message_due ON message(not_before) WHERE not_before > 0 AND state = 'scheduled';
CREATE INDEX message_backoff ON message(not_before) WHERE not_before > 0 AND state IN ('queued','sending');

-- How far events and reports had come at a time of the steady clock: what they
-- are deleted by.
CREATE TABLE tidy_mark (
  steady INTEGER PRIMARY KEY,
  event  INTEGER NOT NULL,                 -- event.seq
  report INTEGER NOT NULL                  -- report.id
);

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
