-- What trucks bring. Like an order's, the row is the saga log: what it is (status), and the one call still owed (intent).
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '5s';

-- NOT VALID spares the reading of a table in which no row has one yet.
ALTER TABLE smart_devices
  ADD COLUMN supplier_id   text,                -- a truck restocks for this supplier and for no other
  ADD COLUMN supplier_name text,                -- as operators call it
  ADD CONSTRAINT only_trucks_have_a_supplier CHECK (kind = 'truck' OR (supplier_id IS NULL AND supplier_name IS NULL)) NOT VALID;

CREATE TABLE restock_edges (
  from_status text NOT NULL,
  to_status   text NOT NULL,
  PRIMARY KEY (from_status, to_status)
);
INSERT INTO restock_edges (from_status, to_status) VALUES
  ('ANNOUNCED', 'RECEIVING'),
  ('ANNOUNCED', 'REJECTED'),
  ('RECEIVING', 'RECEIVED'),
  ('RECEIVING', 'REJECTED');

CREATE TABLE restock_orders (
  order_id        uuid PRIMARY KEY,
  user_id         integer NOT NULL REFERENCES smart_devices (id),  -- the truck that announced it
  supplier_id     text NOT NULL,
  supplier_name   text NOT NULL,
  manifest_no     text,
  idempotency_key text,
  request_sha256  bytea NOT NULL,               -- of the manifest, to tell a replay from another one
  status          text NOT NULL DEFAULT 'ANNOUNCED',
  intent          text DEFAULT 'RESTOCK',       -- the call owed: RESTOCK to inventory, then PRICE to pricing, or none
  version         integer NOT NULL DEFAULT 1,   -- number of status changes, the first included
  line_count      integer NOT NULL,
  item_count      bigint NOT NULL,              -- units announced
  refusal         text,                         -- why inventory refused, in its words
  created_at      timestamptz NOT NULL DEFAULT now(),
  accepted_at     timestamptz,                  -- inventory has taken it on
  finished_at     timestamptz,
  intent_at       timestamptz DEFAULT now(),    -- since when the intent is owed
  due_at          timestamptz,                  -- when a loop looks at this restock next
  attempts        integer NOT NULL DEFAULT 0,
  attention       text,                         -- why a person should look
  CONSTRAINT manifest_is_restocked_once UNIQUE (supplier_id, manifest_no),
  CONSTRAINT key_names_one_restock UNIQUE (user_id, idempotency_key),
  CONSTRAINT restock_status_is_known CHECK (status IN ('ANNOUNCED', 'RECEIVING', 'RECEIVED', 'REJECTED')),
  CONSTRAINT restock_intent_is_known CHECK (intent IN ('RESTOCK', 'PRICE')),
  CONSTRAINT restock_has_a_name_of_its_own CHECK (manifest_no IS NOT NULL OR idempotency_key IS NOT NULL),
  CONSTRAINT announced_restock_owes_the_call CHECK ((status = 'ANNOUNCED') = (intent IS NOT DISTINCT FROM 'RESTOCK')),
  CONSTRAINT price_is_owed_for_what_was_accepted CHECK (intent IS DISTINCT FROM 'PRICE' OR accepted_at IS NOT NULL),
  CONSTRAINT restock_intent_has_a_start CHECK ((intent IS NULL) = (intent_at IS NULL)),
  CONSTRAINT living_or_owing_restock_is_looked_after CHECK ((finished_at IS NULL OR intent IS NOT NULL) = (due_at IS NOT NULL)),
  CONSTRAINT ended_restock_has_finished CHECK ((status IN ('RECEIVED', 'REJECTED')) = (finished_at IS NOT NULL)),
  CONSTRAINT received_restock_was_accepted CHECK (status IN ('ANNOUNCED', 'REJECTED') OR accepted_at IS NOT NULL),
  CONSTRAINT announced_restock_was_not_accepted CHECK (status <> 'ANNOUNCED' OR accepted_at IS NULL)
);
CREATE INDEX restock_orders_due ON restock_orders (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE restock_lines (
  order_id        uuid NOT NULL REFERENCES restock_orders (order_id),
  line_no         smallint NOT NULL,
  sku             text NOT NULL,
  name            text NOT NULL,
  aisle_type      text NOT NULL,
  quantity        integer NOT NULL,             -- announced
  mfd_date        date NOT NULL,
  expiry_date     date NOT NULL,
  unit_cost_cents bigint NOT NULL,
  received        integer NOT NULL DEFAULT 0,   -- total so far, the damaged included
  damaged         integer NOT NULL DEFAULT 0,
  PRIMARY KEY (order_id, line_no),
  CONSTRAINT manifest_names_a_sku_once UNIQUE (order_id, sku),
  CONSTRAINT announced_quantity_is_in_range CHECK (quantity BETWEEN 1 AND 1000000),
  CONSTRAINT cost_is_money CHECK (unit_cost_cents BETWEEN 1 AND 1000000000),
  CONSTRAINT goods_are_made_before_they_expire CHECK (mfd_date <= expiry_date),
  CONSTRAINT received_and_damaged_are_counts CHECK (received >= 0 AND damaged >= 0)
);

CREATE TABLE restock_history (
  order_id    uuid NOT NULL REFERENCES restock_orders (order_id),
  version     integer NOT NULL,
  from_status text,
  to_status   text NOT NULL,
  cause       text NOT NULL,
  at          timestamptz NOT NULL DEFAULT now(),
  epoch       bigint NOT NULL,                  -- of the metric that tells this change
  sequence    bigint NOT NULL,
  PRIMARY KEY (order_id, version),
  FOREIGN KEY (from_status, to_status) REFERENCES restock_edges (from_status, to_status),
  CONSTRAINT history_begins_with_an_announcement
    CHECK ((version = 1) = (from_status IS NULL) AND (version > 1 OR to_status = 'ANNOUNCED'))
);
CREATE INDEX restock_history_of_metric ON restock_history (epoch, sequence);

CREATE TABLE restock_inbox (
  order_id    uuid NOT NULL REFERENCES restock_orders (order_id),
  webhook_id  text NOT NULL,
  body_sha256 bytea NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (order_id, webhook_id)
);

-- A step of two versions is the webhook that overtook the answer: ANNOUNCED, RECEIVING and RECEIVED in one statement. Of a
-- restock that has finished only the price may still be owed.
CREATE TRIGGER restock_follows_the_edges BEFORE UPDATE ON restock_orders FOR EACH ROW
  WHEN (NOT (
       (NEW.version = OLD.version AND NEW.status = OLD.status AND (OLD.finished_at IS NULL OR OLD.intent IS NOT DISTINCT FROM 'PRICE'))
    OR (NEW.version = OLD.version + 1 AND (OLD.status, NEW.status) IN (
         ('ANNOUNCED', 'RECEIVING'), ('ANNOUNCED', 'REJECTED'), ('RECEIVING', 'RECEIVED'), ('RECEIVING', 'REJECTED')))
    OR (NEW.version = OLD.version + 2 AND OLD.status = 'ANNOUNCED' AND NEW.status = 'RECEIVED')))
  EXECUTE FUNCTION refuse_change('the edge table has no such step');
CREATE TRIGGER manifest_stays BEFORE UPDATE ON restock_orders FOR EACH ROW
  WHEN ((NEW.order_id, NEW.user_id, NEW.supplier_id, NEW.manifest_no, NEW.request_sha256, NEW.item_count, NEW.created_at)
        IS DISTINCT FROM
        (OLD.order_id, OLD.user_id, OLD.supplier_id, OLD.manifest_no, OLD.request_sha256, OLD.item_count, OLD.created_at))
  EXECUTE FUNCTION refuse_change('what was announced stays');
CREATE TRIGGER new_restock_is_announced BEFORE INSERT ON restock_orders FOR EACH ROW
  WHEN (NEW.status <> 'ANNOUNCED' OR NEW.version <> 1) EXECUTE FUNCTION refuse_change('a restock begins as ANNOUNCED');
CREATE TRIGGER restocks_stay BEFORE DELETE OR TRUNCATE ON restock_orders FOR EACH STATEMENT
  EXECUTE FUNCTION refuse_change('rows are never deleted');
CREATE TRIGGER restock_history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON restock_history FOR EACH STATEMENT
  EXECUTE FUNCTION refuse_change('history is append-only');
CREATE TRIGGER counts_never_decrease BEFORE UPDATE ON restock_lines FOR EACH ROW
  WHEN (NEW.received < OLD.received OR NEW.damaged < OLD.damaged
        OR (NEW.order_id, NEW.line_no, NEW.sku, NEW.name, NEW.aisle_type, NEW.quantity, NEW.mfd_date, NEW.expiry_date, NEW.unit_cost_cents)
           IS DISTINCT FROM
           (OLD.order_id, OLD.line_no, OLD.sku, OLD.name, OLD.aisle_type, OLD.quantity, OLD.mfd_date, OLD.expiry_date, OLD.unit_cost_cents))
  EXECUTE FUNCTION refuse_change('what was announced stays, and counts never decrease');
CREATE TRIGGER restock_lines_stay BEFORE DELETE OR TRUNCATE ON restock_lines FOR EACH STATEMENT
  EXECUTE FUNCTION refuse_change('lines are what was announced');
