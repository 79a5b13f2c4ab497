-- +goose Up
-- When a SIM's balance was last asked for (steady ms), kept before the code is
-- dialled: what an operator charges for it does not ask whether an answer came.
ALTER TABLE sim ADD COLUMN credit_asked INTEGER NOT NULL DEFAULT 0;

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
