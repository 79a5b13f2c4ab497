-- +goose Up
-- Where a TPDU was read from, '' when it came without a copy in the modem: what
-- lies in a modem's own memory stays there when another SIM is put in, and is
-- read again under that SIM's name.
ALTER TABLE inbound_raw ADD COLUMN memory TEXT NOT NULL DEFAULT '';
CREATE INDEX inbound_raw_modem ON inbound_raw(modem, scts);

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
