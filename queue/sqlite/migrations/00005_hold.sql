-- +goose Up
-- What a restore or a copied card found unfinished: the reason, until somebody
-- releases the message. While it is set, nothing but its release puts the
-- message back into the queue, not even evidence of a lost answer.
ALTER TABLE message ADD COLUMN hold TEXT NOT NULL DEFAULT '';
CREATE INDEX message_held ON message(reason, class, seq) WHERE state = 'held';

-- How many are held, by reason and class, kept by the rows themselves as tally is.
CREATE TABLE held_tally (
  reason TEXT NOT NULL,
  class  TEXT NOT NULL,
  n      INTEGER NOT NULL,
  PRIMARY KEY (reason, class)
) WITHOUT ROWID;
INSERT INTO held_tally (reason, class, n) SELECT reason, class, count(*) FROM message WHERE state = 'held' GROUP BY reason, class;
-- +goose StatementBegin
CREATE TRIGGER message_held_insert AFTER INSERT ON message WHEN NEW.state = 'held' BEGIN
  INSERT INTO held_tally (reason, class, n) VALUES (NEW.reason, NEW.class, 1)
    ON CONFLICT (reason, class) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER message_held_enter AFTER UPDATE OF state, reason ON message
WHEN NEW.state = 'held' AND (OLD.state <> 'held' OR OLD.reason <> NEW.reason) BEGIN
  INSERT INTO held_tally (reason, class, n) VALUES (NEW.reason, NEW.class, 1)
    ON CONFLICT (reason, class) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER message_held_leave AFTER UPDATE OF state, reason ON message
WHEN OLD.state = 'held' AND (NEW.state <> 'held' OR OLD.reason <> NEW.reason) BEGIN
  UPDATE held_tally SET n = n - 1 WHERE reason = OLD.reason AND class = OLD.class;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER message_held_delete AFTER DELETE ON message WHEN OLD.state = 'held' BEGIN
  UPDATE held_tally SET n = n - 1 WHERE reason = OLD.reason AND class = OLD.class;
END;
-- +goose StatementEnd

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
