-- +goose Up
-- PINs and PUKs that were sent to a SIM, never the codes themselves: mac is a
-- HMAC-SHA-256 under a key that is not in this file. A row is on disk before the
-- code leaves for the modem.
CREATE TABLE sim_pin_try (
  sim    TEXT NOT NULL,                    -- ICCID; 'imei-…' or 'port-…' where a locked SIM tells none
  kind   TEXT NOT NULL CHECK (kind IN ('pin','puk')),
  mac    BLOB NOT NULL,
  state  TEXT NOT NULL CHECK (state IN ('sent','worked','refused')),
                                           -- sent: nobody knows what became of it; refused: for ever
  before INTEGER NOT NULL,                 -- tries that were left then; -1 unknown
  after  INTEGER NOT NULL DEFAULT -1,      -- and after the refusal
  sends  INTEGER NOT NULL,                 -- since it last worked
  worked INTEGER NOT NULL DEFAULT 0,       -- 1: it has opened this SIM at least once
  owed   INTEGER NOT NULL DEFAULT 1,       -- 1: nothing of its kind has opened the SIM since it was sent
  at     INTEGER NOT NULL,
  PRIMARY KEY (sim, kind, mac)
) WITHOUT ROWID;

-- The PIN that opened a SIM, to be given again when it restarts: AES-256-GCM
-- under a key that is not in this file, bound to the ICCID.
CREATE TABLE sim_pin (
  sim    TEXT PRIMARY KEY,
  sealed BLOB NOT NULL,
  at     INTEGER NOT NULL
) WITHOUT ROWID;

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
