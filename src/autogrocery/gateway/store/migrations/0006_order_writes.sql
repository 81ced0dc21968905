-- The gateway's statement that writes orders becomes cheaper, and the rules stay: PostgreSQL reads the text of every CHECK and
-- of every trigger's condition again in each statement, so a short text counts (docs/decisions/0031-what-postgresql-does-per-order.md).
--
-- One table a transaction: two, locked in an order that is not that of some statement, would be a deadlock.
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '5s';

-- "0" is a change without a step; "2" is the webhook that overtook its confirm: PREVIEWED, PROCESSING and the terminal status
-- in one statement. A terminal status has no "0": its row never changes.
CREATE OR REPLACE TRIGGER status_follows_the_edges BEFORE UPDATE ON grocery_orders FOR EACH ROW
  WHEN (concat(NEW.version - OLD.version, ' ', OLD.status, ' ', NEW.status) <> ALL ('{
          0 PREVIEWED PREVIEWED,
          0 PROCESSING PROCESSING,
          1 PREVIEWED PROCESSING,
          1 PREVIEWED CANCELLED,
          1 PREVIEWED EXPIRED,
          1 PREVIEWED FAILED,
          1 PROCESSING COMPLETED,
          1 PROCESSING FAILED,
          1 PROCESSING CANCELLED,
          2 PREVIEWED COMPLETED,
          2 PREVIEWED FAILED
        }'::text[])
        OR (NEW.version = OLD.version + 2 AND NEW.dispatched_at IS NULL))
  EXECUTE FUNCTION refuse_change('the edge table has no such step');

-- An UPDATE that does not name these columns cannot change them, and does not pay for the comparison.
CREATE OR REPLACE TRIGGER identity_and_quote_stay BEFORE UPDATE OF order_id, user_id, quoted_total_cents, created_at
  ON grocery_orders FOR EACH ROW
  WHEN ((NEW.order_id, NEW.user_id, NEW.quoted_total_cents, NEW.created_at) IS DISTINCT FROM (OLD.order_id, OLD.user_id, OLD.quoted_total_cents, OLD.created_at))
  EXECUTE FUNCTION refuse_change('what was quoted stays');

-- Room on each page for the new versions of its rows: a dispatch changes no indexed column, so it needs no index entries.
ALTER TABLE grocery_orders SET (fillfactor = 80);

-- The rows that the gateway's statement takes, one array of each. A later statement that needs another field has types of its
-- own, so that the gateways of both versions can write while one replaces the other.
CREATE TYPE new_order AS (
  order_id    uuid,
  user_id     integer,
  currency    text,
  total_cents bigint,
  line_count  integer,
  item_count  integer,
  sha256      bytea,
  ttl_s       double precision,
  epoch       bigint,
  sequence    bigint
);
CREATE TYPE new_order_line AS (
  order_id         uuid,
  line_no          smallint,
  sku              text,
  name             text,
  requested        integer,
  quantity         integer,
  unit_price_cents bigint
);
CREATE TYPE order_change AS (
  order_id     uuid,
  to_status    text,
  cause        text,
  epoch        bigint,
  sequence     bigint,
  total_cents  bigint,
  robots       jsonb,
  outcome      text,
  even_if_idle boolean,
  webhook_id   text,
  sha256       bytea
);
CREATE TYPE short_pick AS (
  order_id uuid,
  line_no  smallint,
  picked   integer
);
