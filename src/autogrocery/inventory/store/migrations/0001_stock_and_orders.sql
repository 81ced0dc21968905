-- Stock, its ledger, the register of orders, dispatches, robots and webhooks of the inventory peer.
-- SKUs sort by code point everywhere, in Python and here, so that all locks are taken in one order.
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '5s';

CREATE TABLE inventory.stock (
  sku        text COLLATE "C" PRIMARY KEY CHECK (length(sku) BETWEEN 1 AND 64),
  name       text NOT NULL,
  aisle_type text NOT NULL CONSTRAINT aisle_is_known CHECK (aisle_type IN ('bread', 'dairy', 'meat', 'produce', 'party')),
  on_hand    bigint NOT NULL DEFAULT 0 CONSTRAINT on_hand_is_not_negative CHECK (on_hand >= 0),
  held       bigint NOT NULL DEFAULT 0 CONSTRAINT held_is_not_negative CHECK (held >= 0),
  allocated  bigint NOT NULL DEFAULT 0 CONSTRAINT allocated_is_not_negative CHECK (allocated >= 0),
  picked     bigint NOT NULL DEFAULT 0 CONSTRAINT picked_is_not_negative CHECK (picked >= 0)
) WITH (fillfactor = 70);
COMMENT ON TABLE inventory.stock IS 'on_hand is free to sell; held and allocated stand on the shelf and are promised; picked has left it';

CREATE TABLE inventory.ledger (
  sku   text COLLATE "C" NOT NULL REFERENCES inventory.stock (sku),
  ref   uuid NOT NULL,
  cause text NOT NULL CONSTRAINT cause_is_known CHECK (cause IN ('restock', 'shrink')),
  delta bigint NOT NULL CONSTRAINT cause_has_its_sign CHECK ((cause = 'restock' AND delta > 0) OR (cause = 'shrink' AND delta < 0)),
  at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (sku, ref, cause)
);
COMMENT ON TABLE inventory.ledger IS 'what came into the store and what was found missing; ref is the restock order or the assignment';

CREATE FUNCTION inventory.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON inventory.ledger
  FOR EACH STATEMENT EXECUTE FUNCTION inventory.refuse_change();

-- The identity of a list of lines: SKUs in code point order and their quantities.
CREATE FUNCTION inventory.digest(skus text[], quantities int[]) RETURNS bytea LANGUAGE sql STABLE
  RETURN sha256(convert_to(skus::text || quantities::text, 'UTF8'));

CREATE TABLE inventory.orders (
  order_id         uuid PRIMARY KEY,
  state            text NOT NULL CONSTRAINT state_is_known
                   CHECK (state IN ('HELD', 'LAPSED', 'ASSIGNED', 'COMPLETED', 'FAILED', 'RELEASED')),
  expires_at       timestamptz,
  requested_digest bytea,
  granted_digest   bytea,
  unfinished       smallint NOT NULL DEFAULT 0,
  picked_units     bigint NOT NULL DEFAULT 0 CHECK (picked_units >= 0),
  created_at       timestamptz NOT NULL DEFAULT now(),
  finished_at      timestamptz,
  CONSTRAINT hold_has_expiry CHECK ((state = 'HELD') = (expires_at IS NOT NULL)),
  CONSTRAINT dispatch_has_unfinished_assignments CHECK ((state = 'ASSIGNED') = (unfinished > 0) AND unfinished >= 0),
  CONSTRAINT finished_order_has_an_instant CHECK ((state IN ('COMPLETED', 'FAILED')) = (finished_at IS NOT NULL)),
  CONSTRAINT completed_order_has_picked_something CHECK (state <> 'COMPLETED' OR picked_units > 0)
) WITH (fillfactor = 80);
COMMENT ON TABLE inventory.orders IS 'the register: locking its row linearises all that happens to one order; a RELEASED row is a tombstone';
CREATE INDEX holds_by_expiry ON inventory.orders (expires_at) WHERE state = 'HELD';

CREATE TABLE inventory.order_lines (
  order_id   uuid NOT NULL REFERENCES inventory.orders (order_id),
  sku        text COLLATE "C" NOT NULL REFERENCES inventory.stock (sku),
  aisle_type text NOT NULL,
  quantity   int NOT NULL CHECK (quantity > 0),
  picked     int,
  PRIMARY KEY (order_id, sku),
  CONSTRAINT picked_is_within_the_line CHECK (picked BETWEEN 0 AND quantity)
) WITH (fillfactor = 80);

CREATE TABLE inventory.robots (
  robot_id     text PRIMARY KEY,
  robot_class  text NOT NULL,
  last_seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX robots_by_class ON inventory.robots (robot_class);

CREATE SEQUENCE inventory.fences;  -- one row of numbers for all leases, so that a fence names its lease

CREATE TABLE inventory.assignments (
  order_id      uuid NOT NULL REFERENCES inventory.orders (order_id),
  assignment_id uuid NOT NULL,
  robot_id      text NOT NULL REFERENCES inventory.robots (robot_id),
  robot_class   text NOT NULL,
  aisle         text NOT NULL,
  state         text NOT NULL DEFAULT 'OPEN' CONSTRAINT assignment_state_is_known
                CHECK (state IN ('OPEN', 'STARTED', 'PICKED', 'SHORT', 'FAILED', 'WITHDRAWN')),
  holder        text,
  fence         bigint,
  lease_until   timestamptz,
  sequence      int,
  created_at    timestamptz NOT NULL DEFAULT now(),
  closed_at     timestamptz,
  PRIMARY KEY (order_id, assignment_id),
  CONSTRAINT one_assignment_an_aisle UNIQUE (order_id, aisle),
  CONSTRAINT assignment_id_is_unique UNIQUE (assignment_id),
  CONSTRAINT started_has_a_lease CHECK (state IN ('OPEN', 'WITHDRAWN')
             OR (holder IS NOT NULL AND fence IS NOT NULL AND lease_until IS NOT NULL)),
  CONSTRAINT reported_has_a_sequence CHECK ((state IN ('PICKED', 'SHORT', 'FAILED')) = (sequence IS NOT NULL)),
  CONSTRAINT closed_has_an_instant CHECK ((state IN ('OPEN', 'STARTED')) = (closed_at IS NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE inventory.assignments IS 'one robot''s share of a dispatch: the order''s lines of one aisle; robot_id was chosen, holder picks';
CREATE INDEX live_assignments_by_robot ON inventory.assignments (robot_id) WHERE state IN ('OPEN', 'STARTED');
CREATE INDEX leases_by_class ON inventory.assignments (robot_class, lease_until) WHERE state = 'STARTED';
CREATE INDEX leases_by_holder ON inventory.assignments (holder) WHERE state = 'STARTED';

CREATE TABLE inventory.webhook_outbox (
  order_id        uuid NOT NULL REFERENCES inventory.orders (order_id),
  webhook_id      text NOT NULL,
  body            text,
  created_at      timestamptz NOT NULL DEFAULT now(),
  attempts        int NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  done_at         timestamptz,
  dead_at         timestamptz,
  last_error      text,
  PRIMARY KEY (order_id, webhook_id)
) WITH (fillfactor = 70);
COMMENT ON COLUMN inventory.webhook_outbox.body IS 'written once, before the first attempt: the same id always carries the same bytes';
CREATE INDEX webhooks_due ON inventory.webhook_outbox (next_attempt_at) WHERE done_at IS NULL AND dead_at IS NULL;

CREATE TABLE inventory.restocks (
  order_id    uuid PRIMARY KEY,
  supplier_id text NOT NULL,
  content     bytea NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN inventory.restocks.content IS 'SHA-256 of the delivery, so that another one under the same id is refused';

CREATE TABLE inventory.restock_lines (
  order_id        uuid NOT NULL REFERENCES inventory.restocks (order_id),
  sku             text COLLATE "C" NOT NULL REFERENCES inventory.stock (sku),
  quantity        bigint NOT NULL CHECK (quantity > 0),
  unit_cost_cents bigint NOT NULL CHECK (unit_cost_cents >= 0),
  mfd_at          timestamptz,
  expiry_at       timestamptz,
  PRIMARY KEY (order_id, sku)
);
