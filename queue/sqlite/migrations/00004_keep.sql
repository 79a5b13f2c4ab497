-- Checksums of what is sent and received, and how long it is kept.
-- +goose Up
-- crc32c is Recado's own (queue/sqlite/crc.go), CRC-32C over the arguments with
-- their lengths. -1 fits nothing: a row without its sum is a damaged one.
ALTER TABLE message ADD COLUMN crc INTEGER NOT NULL DEFAULT -1;      -- of seq, id, recipient, class and text
ALTER TABLE segment ADD COLUMN crc INTEGER NOT NULL DEFAULT -1;      -- of message, n and tpdu
ALTER TABLE inbound_raw ADD COLUMN crc INTEGER NOT NULL DEFAULT -1;  -- of raw
ALTER TABLE inbound ADD COLUMN crc INTEGER NOT NULL DEFAULT -1;      -- of id, sender and text
ALTER TABLE inbound ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;   -- 1: one of its segments was found damaged
UPDATE message SET crc = crc32c(seq, id, recipient, class, text);
UPDATE segment SET crc = crc32c(message, n, tpdu);
UPDATE inbound_raw SET crc = crc32c(raw);
UPDATE inbound SET crc = crc32c(id, sender, text);

-- What was found damaged, until the row is deleted.
CREATE TABLE damaged (
  kind     TEXT NOT NULL CHECK (kind IN ('message','inbound')),
  seq      INTEGER NOT NULL,
  found_at INTEGER NOT NULL,
  detail   TEXT NOT NULL,
  PRIMARY KEY (kind, seq)
) WITHOUT ROWID;

-- From when keeping counts: by a trusted clock; 0 not yet, -1 since the clock
-- was not trusted or nobody said: the next round stamps it.
ALTER TABLE message ADD COLUMN ended_at INTEGER NOT NULL DEFAULT 0;  -- final, or uncertain for good
ALTER TABLE message ADD COLUMN text_deleted_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inbound ADD COLUMN aged INTEGER NOT NULL DEFAULT -1;
ALTER TABLE inbound ADD COLUMN text_deleted_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inbound_raw ADD COLUMN aged INTEGER NOT NULL DEFAULT -1;
ALTER TABLE inbound_raw ADD COLUMN blanked_at INTEGER NOT NULL DEFAULT 0; -- raw is empty since; hash and digest still tell a repeat
ALTER TABLE inbound_raw ADD COLUMN digest BLOB;                      -- SHA-256 of raw, once that is empty
UPDATE message SET ended_at = max(created_at, sent_at, delivered_at, coalesce((SELECT max(done_at) FROM attempt a WHERE a.message = message.seq), 0))
  WHERE state IN ('sent','delivered','undelivered','failed','expired','cancelled') OR state = 'uncertain' AND decide_at = 0;
UPDATE inbound SET aged = received_at;
UPDATE inbound_raw SET aged = received_at;

-- Whoever changes a state sees to it that keeping begins and ends with it.
-- +goose StatementBegin
CREATE TRIGGER message_ended AFTER UPDATE OF state, decide_at ON message
WHEN NEW.ended_at = 0 AND (NEW.state IN ('sent','delivered','undelivered','failed','expired','cancelled') OR NEW.state = 'uncertain' AND NEW.decide_at = 0) BEGIN
  UPDATE message SET ended_at = -1 WHERE seq = NEW.seq;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER message_unended AFTER UPDATE OF state, decide_at ON message
WHEN NEW.ended_at <> 0 AND NOT (NEW.state IN ('sent','delivered','undelivered','failed','expired','cancelled') OR NEW.state = 'uncertain' AND NEW.decide_at = 0) BEGIN
  UPDATE message SET ended_at = 0 WHERE seq = NEW.seq;
END;
-- +goose StatementEnd

-- What is due, soonest first; each row is in one of them at most.
CREATE INDEX message_unstamped ON message(seq) WHERE ended_at = -1;
CREATE INDEX message_body ON message(class, ended_at) WHERE ended_at > 0 AND text_deleted_at = 0;
CREATE INDEX message_meta ON message(class, ended_at) WHERE ended_at > 0 AND text_deleted_at > 0;
CREATE INDEX inbound_unstamped ON inbound(seq) WHERE aged = -1;
CREATE INDEX inbound_body ON inbound(aged) WHERE aged > 0 AND text_deleted_at = 0;
CREATE INDEX inbound_meta ON inbound(aged) WHERE aged > 0 AND text_deleted_at > 0;
CREATE INDEX inbound_raw_unstamped ON inbound_raw(id) WHERE aged = -1;
CREATE INDEX inbound_raw_body ON inbound_raw(aged) WHERE aged > 0 AND blanked_at = 0 AND inbound IS NULL;
CREATE INDEX inbound_raw_meta ON inbound_raw(aged) WHERE aged > 0 AND blanked_at > 0 AND inbound IS NULL;
CREATE INDEX inbound_raw_of ON inbound_raw(inbound) WHERE inbound IS NOT NULL;

-- Which messages a kept answer tells of: a request's messages follow each other.
ALTER TABLE idempotency ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE idempotency ADD COLUMN last_seq  INTEGER NOT NULL DEFAULT 0;
CREATE INDEX idempotency_seq ON idempotency(first_seq) WHERE first_seq > 0;

-- The highest numbers that deleted rows had: a number never names another row,
-- not even the last one's (a line may still hold it).
CREATE TABLE floor (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO floor (name, value) VALUES ('message', 0), ('attempt', 0), ('inbound', 0);

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
