-- When the message of a code came to its end, by the steady clock: that is there
-- when nobody knows the time of day, and its text does not wait for that.
-- +goose Up
ALTER TABLE message ADD COLUMN ended_steady INTEGER NOT NULL DEFAULT 0;  -- of class otp; 0: not at its end, or not noted yet
CREATE INDEX message_code ON message(ended_steady) WHERE class = 'otp' AND ended_at <> 0 AND text_deleted_at = 0;
-- What is sent again has not ended.
-- +goose StatementBegin
CREATE TRIGGER message_code_again AFTER UPDATE OF ended_at ON message WHEN NEW.ended_at = 0 AND NEW.ended_steady <> 0 BEGIN
  UPDATE message SET ended_steady = 0 WHERE seq = NEW.seq;
END;
-- +goose StatementEnd

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
