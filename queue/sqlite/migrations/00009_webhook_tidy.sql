-- +goose Up
-- What the hourly tidying of webhooks deletes, by age: without these it reads the
-- whole table while it holds the writer. Each serves one statement, which repeats
-- its condition word for word.
CREATE INDEX webhook_delivery_done  ON webhook_delivery(first_tick) WHERE state IN ('delivered','skipped','failed');
CREATE INDEX webhook_delivery_stale ON webhook_delivery(first_tick) WHERE state IN ('dead','pending');

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
