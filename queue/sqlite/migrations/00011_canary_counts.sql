-- +goose Up
-- The messages of canaries, which the box sends to look after its lines, are not
-- among those that people count.
DROP TRIGGER message_tally_insert;
DROP TRIGGER message_tally_update;
DROP TRIGGER message_tally_delete;
-- +goose StatementBegin
CREATE TRIGGER message_tally_insert AFTER INSERT ON message WHEN NEW.key_id <> 'canary' BEGIN
  INSERT INTO tally (state, class, n) VALUES (NEW.state, NEW.class, 1)
    ON CONFLICT (state, class) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER message_tally_update AFTER UPDATE OF state ON message WHEN OLD.state <> NEW.state AND NEW.key_id <> 'canary' BEGIN
  UPDATE tally SET n = n - 1 WHERE state = OLD.state AND class = OLD.class;
  INSERT INTO tally (state, class, n) VALUES (NEW.state, NEW.class, 1)
    ON CONFLICT (state, class) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER message_tally_delete AFTER DELETE ON message WHEN OLD.key_id <> 'canary' BEGIN
  UPDATE tally SET n = n - 1 WHERE state = OLD.state AND class = OLD.class;
END;
-- +goose StatementEnd
UPDATE tally SET n = n - (SELECT count(*) FROM canary c JOIN message m ON m.id = c.message
  WHERE m.key_id = 'canary' AND m.state = tally.state AND m.class = tally.class);

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
