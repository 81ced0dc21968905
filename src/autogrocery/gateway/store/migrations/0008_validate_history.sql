-- no-transaction
-- Reads the whole history, without a lock that stops its writers, and without a time limit.
SET lock_timeout = '4s';
ALTER TABLE order_history VALIDATE CONSTRAINT history_follows_the_edges;
