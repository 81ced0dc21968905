-- no-transaction
-- What operators look up: the newest orders, the changes of some minutes, dead letters. Built beside the writers; a run
-- that was interrupted leaves an invalid index, which the next run replaces.
SET lock_timeout = '4s';
DROP INDEX CONCURRENTLY IF EXISTS grocery_orders_newest;
CREATE INDEX CONCURRENTLY grocery_orders_newest ON grocery_orders (created_at, order_id);
DROP INDEX CONCURRENTLY IF EXISTS order_history_at;
CREATE INDEX CONCURRENTLY order_history_at ON order_history USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
DROP INDEX CONCURRENTLY IF EXISTS receipt_outbox_dead;
CREATE INDEX CONCURRENTLY receipt_outbox_dead ON receipt_outbox (dead_at) WHERE dead_at IS NOT NULL AND done_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS alert_outbox_dead;
CREATE INDEX CONCURRENTLY alert_outbox_dead ON alert_outbox (dead_at) WHERE dead_at IS NOT NULL AND done_at IS NULL;
