-- The life of an order. The row is the saga log: what it is (status), and the one call still owed to inventory (intent).

CREATE TABLE order_edges (
  from_status text NOT NULL,
  to_status   text NOT NULL,
  PRIMARY KEY (from_status, to_status)
);
INSERT INTO order_edges (from_status, to_status) VALUES
  ('PREVIEWED',  'PROCESSING'),
  ('PREVIEWED',  'CANCELLED'),
  ('PREVIEWED',  'EXPIRED'),
  ('PREVIEWED',  'FAILED'),
  ('PROCESSING', 'COMPLETED'),
  ('PROCESSING', 'FAILED'),
  ('PROCESSING', 'CANCELLED');

CREATE TABLE grocery_orders (
  order_id           uuid PRIMARY KEY,
  user_id            integer NOT NULL REFERENCES smart_devices (id),
  status             text NOT NULL DEFAULT 'PREVIEWED',
  intent             text,                      -- the call owed to inventory: DISPATCH, RELEASE or none
  release_as         text,                      -- the terminal status a release leads to
  release_cause      text,                      -- why it is released, for the history
  version            integer NOT NULL DEFAULT 1,  -- number of status changes, the first included
  currency           text NOT NULL DEFAULT 'USD',
  quoted_total_cents bigint NOT NULL DEFAULT 0,
  total_cents        bigint NOT NULL DEFAULT 0,
  item_count         integer NOT NULL DEFAULT 0,
  line_count         integer NOT NULL DEFAULT 0,
  request_sha256     bytea,                     -- of the canonical basket, to tell a replay from another basket
  robots             jsonb,
  outcome            text,
  created_at         timestamptz NOT NULL DEFAULT now(),
  expires_at         timestamptz NOT NULL DEFAULT now() + interval '2 minutes',
  confirmed_at       timestamptz,               -- the first confirm that left a trace
  dispatched_at      timestamptz,               -- PROCESSING was reached
  finished_at        timestamptz,
  intent_at          timestamptz,               -- since when the intent is owed
  due_at             timestamptz DEFAULT now() + interval '2 minutes',  -- when a loop looks at this order next
  attempts           integer NOT NULL DEFAULT 0,
  attention          text,                      -- why a person should look
  CONSTRAINT status_is_known CHECK (status IN ('PREVIEWED', 'PROCESSING', 'COMPLETED', 'CANCELLED', 'EXPIRED', 'FAILED')),
  CONSTRAINT intent_is_known CHECK (intent IN ('DISPATCH', 'RELEASE')),
  CONSTRAINT dispatch_is_owed_by_a_previewed_order CHECK (intent IS DISTINCT FROM 'DISPATCH' OR status = 'PREVIEWED'),
  CONSTRAINT release_is_owed_by_a_living_order CHECK (
    intent IS DISTINCT FROM 'RELEASE'
    OR (status = 'PREVIEWED' AND release_as IN ('CANCELLED', 'EXPIRED', 'FAILED'))
    OR (status = 'PROCESSING' AND release_as = 'CANCELLED')),
  CONSTRAINT intent_has_a_start CHECK ((intent IS NULL) = (intent_at IS NULL)),
  CONSTRAINT living_order_is_looked_after CHECK ((finished_at IS NULL) = (due_at IS NOT NULL)),
  CONSTRAINT terminal_order_has_finished CHECK ((status IN ('PREVIEWED', 'PROCESSING')) = (finished_at IS NULL)),
  CONSTRAINT processing_order_was_dispatched CHECK (status NOT IN ('PROCESSING', 'COMPLETED') OR dispatched_at IS NOT NULL),
  CONSTRAINT previewed_and_expired_orders_were_not_dispatched CHECK (status NOT IN ('PREVIEWED', 'EXPIRED') OR dispatched_at IS NULL),
  CONSTRAINT outcome_belongs_to_completed CHECK ((outcome IS NOT NULL) = (status = 'COMPLETED')),
  CONSTRAINT outcome_is_known CHECK (outcome IN ('FULL', 'PARTIAL')),
  CONSTRAINT failed_order_costs_nothing CHECK (status <> 'FAILED' OR total_cents = 0),
  CONSTRAINT totals_are_money CHECK (total_cents BETWEEN 0 AND quoted_total_cents)
);

-- The loops' one index: sweeper, expirer and reconciler all look for what is due.
CREATE INDEX grocery_orders_due ON grocery_orders (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX grocery_orders_of_device ON grocery_orders (user_id, created_at, order_id);

CREATE TABLE order_lines (
  order_id         uuid NOT NULL REFERENCES grocery_orders (order_id),
  line_no          smallint NOT NULL,
  sku              text NOT NULL,
  name             text NOT NULL,
  requested        integer NOT NULL,
  quantity         integer NOT NULL,            -- granted
  unit_price_cents bigint NOT NULL,
  PRIMARY KEY (order_id, line_no),
  CONSTRAINT quantity_is_granted_of_requested CHECK (quantity BETWEEN 1 AND requested),
  CONSTRAINT price_is_money CHECK (unit_price_cents >= 0)
);

-- Only lines of which less was picked than granted; a COMPLETED order's other lines were picked whole.
CREATE TABLE short_picks (
  order_id uuid NOT NULL,
  line_no  smallint NOT NULL,
  picked   integer NOT NULL,
  PRIMARY KEY (order_id, line_no),
  FOREIGN KEY (order_id, line_no) REFERENCES order_lines (order_id, line_no),
  CONSTRAINT picked_is_a_count CHECK (picked >= 0)
);

CREATE TABLE order_history (
  order_id    uuid NOT NULL REFERENCES grocery_orders (order_id),
  version     integer NOT NULL,
  from_status text,
  to_status   text NOT NULL,
  cause       text NOT NULL,
  at          timestamptz NOT NULL DEFAULT now(),
  epoch       bigint NOT NULL,                  -- of the metric that tells this change
  sequence    bigint NOT NULL,
  PRIMARY KEY (order_id, version),
  FOREIGN KEY (from_status, to_status) REFERENCES order_edges (from_status, to_status),
  CONSTRAINT history_begins_with_a_preview CHECK ((version = 1) = (from_status IS NULL) AND (version > 1 OR to_status = 'PREVIEWED'))
);
CREATE INDEX order_history_of_metric ON order_history (epoch, sequence);

CREATE TABLE metric_epochs (
  epoch      bigint PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE webhook_inbox (
  order_id    uuid NOT NULL REFERENCES grocery_orders (order_id),
  webhook_id  text NOT NULL,
  body_sha256 bytea NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (order_id, webhook_id)
);

CREATE TABLE receipt_outbox (
  order_id        uuid PRIMARY KEY REFERENCES grocery_orders (order_id),
  created_at      timestamptz NOT NULL DEFAULT now(),
  attempts        integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  done_at         timestamptz,
  dead_at         timestamptz,
  last_error      text
);
CREATE INDEX receipt_outbox_due ON receipt_outbox (next_attempt_at) WHERE done_at IS NULL AND dead_at IS NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: %', lower(TG_OP), TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$;

-- The condition is evaluated by the executor, without a call, so a legal change costs nothing extra. A step of two versions
-- is the webhook that overtook its confirm: PREVIEWED, PROCESSING and the terminal status in one statement.
CREATE TRIGGER status_follows_the_edges BEFORE UPDATE ON grocery_orders FOR EACH ROW
  WHEN (NOT (
       (NEW.version = OLD.version AND NEW.status = OLD.status AND OLD.finished_at IS NULL)
    OR (NEW.version = OLD.version + 1 AND (OLD.status, NEW.status) IN (
         ('PREVIEWED', 'PROCESSING'), ('PREVIEWED', 'CANCELLED'), ('PREVIEWED', 'EXPIRED'), ('PREVIEWED', 'FAILED'),
         ('PROCESSING', 'COMPLETED'), ('PROCESSING', 'FAILED'), ('PROCESSING', 'CANCELLED')))
    OR (NEW.version = OLD.version + 2 AND OLD.status = 'PREVIEWED' AND NEW.status IN ('COMPLETED', 'FAILED') AND NEW.dispatched_at IS NOT NULL)))
  EXECUTE FUNCTION refuse_change('the edge table has no such step');
CREATE TRIGGER identity_and_quote_stay BEFORE UPDATE ON grocery_orders FOR EACH ROW
  WHEN ((NEW.order_id, NEW.user_id, NEW.quoted_total_cents, NEW.created_at) IS DISTINCT FROM (OLD.order_id, OLD.user_id, OLD.quoted_total_cents, OLD.created_at))
  EXECUTE FUNCTION refuse_change('what was quoted stays');
CREATE TRIGGER new_order_is_previewed BEFORE INSERT ON grocery_orders FOR EACH ROW
  WHEN (NEW.status <> 'PREVIEWED' OR NEW.version <> 1) EXECUTE FUNCTION refuse_change('an order begins as PREVIEWED');
CREATE TRIGGER orders_stay BEFORE DELETE OR TRUNCATE ON grocery_orders FOR EACH STATEMENT
  EXECUTE FUNCTION refuse_change('rows are never deleted');
CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_history FOR EACH STATEMENT
  EXECUTE FUNCTION refuse_change('history is append-only');
CREATE TRIGGER lines_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON order_lines FOR EACH STATEMENT
  EXECUTE FUNCTION refuse_change('lines are what was quoted');
