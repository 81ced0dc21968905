-- Calls to peers that failed, were repeated or were slow, for the bundle of an order. Rows are deleted after thirty days.
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '5s';

CREATE TABLE peer_calls (
  call_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id uuid NOT NULL,                       -- of an order or a restock, which may have no row
  peer     text NOT NULL,
  method   text NOT NULL,
  at       timestamptz NOT NULL,
  ms       double precision NOT NULL,
  outcome  text NOT NULL,                       -- ok, or why there was no clear answer
  attempt  integer NOT NULL,
  CONSTRAINT attempt_is_counted_from_one CHECK (attempt >= 1)
);
CREATE INDEX peer_calls_of_order ON peer_calls (order_id, at);
CREATE INDEX peer_calls_oldest ON peer_calls (at);
