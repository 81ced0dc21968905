-- A truck's delivery is put away by robots, line by line, and sold as it is: its state and totals, the robots' work, the
-- webhooks that tell of it. Rows of before are deliveries that stood on their shelves when they were entered.
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '5s';

ALTER TABLE inventory.restocks ADD COLUMN state text NOT NULL DEFAULT 'RECEIVED';
ALTER TABLE inventory.restocks ADD CONSTRAINT restock_state_is_known
  CHECK (state IN ('RECEIVING', 'RECEIVED', 'REJECTED')) NOT VALID;
ALTER TABLE inventory.restocks ADD COLUMN reported_at timestamptz;
COMMENT ON COLUMN inventory.restocks.received_at IS 'when the delivery was entered';
COMMENT ON COLUMN inventory.restocks.reported_at IS 'when a robot last reported something new of it';

ALTER TABLE inventory.restock_lines ADD COLUMN aisle_type text;
ALTER TABLE inventory.restock_lines ADD COLUMN received bigint;
ALTER TABLE inventory.restock_lines ADD COLUMN damaged bigint NOT NULL DEFAULT 0;
ALTER TABLE inventory.restock_lines ADD CONSTRAINT damaged_is_part_of_received CHECK (damaged BETWEEN 0 AND received) NOT VALID;
COMMENT ON COLUMN inventory.restock_lines.received IS
  'units that came so far, damaged ones included; may end below or above quantity. Null: all stood on their shelf already';

ALTER TABLE inventory.ledger ADD COLUMN restock_id uuid;
COMMENT ON COLUMN inventory.ledger.restock_id IS 'the delivery of a restock; ref is then that delivery, or one report on it';

CREATE TABLE inventory.putaways (
  order_id      uuid NOT NULL REFERENCES inventory.restocks (order_id),
  assignment_id uuid NOT NULL,
  aisle         text NOT NULL,
  state         text NOT NULL DEFAULT 'OPEN' CONSTRAINT putaway_state_is_known CHECK (state IN ('OPEN', 'STARTED', 'DONE')),
  holder        text,
  fence         bigint,
  lease_until   timestamptz,
  sequence      int,
  created_at    timestamptz NOT NULL DEFAULT now(),
  closed_at     timestamptz,
  PRIMARY KEY (order_id, assignment_id),
  CONSTRAINT one_putaway_an_aisle UNIQUE (order_id, aisle),
  CONSTRAINT putaway_id_is_unique UNIQUE (assignment_id),
  CONSTRAINT started_putaway_has_a_lease CHECK (state = 'OPEN'
             OR (holder IS NOT NULL AND fence IS NOT NULL AND lease_until IS NOT NULL)),
  CONSTRAINT done_putaway_has_an_instant CHECK ((state = 'DONE') = (closed_at IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE inventory.putaways IS
  'a delivery''s lines of one aisle, for any robot of that class; beside inventory.assignments, so that picks stay as quick';
CREATE INDEX putaways_by_aisle ON inventory.putaways (aisle, created_at) WHERE state <> 'DONE';
CREATE INDEX putaways_by_holder ON inventory.putaways (holder) WHERE state = 'STARTED';

CREATE TABLE inventory.restock_webhooks (
  order_id        uuid NOT NULL REFERENCES inventory.restocks (order_id),
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
COMMENT ON COLUMN inventory.restock_webhooks.body IS
  'what stood in the register at the first attempt; until then, later reports need no webhook of their own';
CREATE UNIQUE INDEX one_webhook_gathers_a_restocks_news ON inventory.restock_webhooks (order_id) WHERE body IS NULL;
CREATE INDEX restock_webhooks_due ON inventory.restock_webhooks (next_attempt_at) WHERE done_at IS NULL AND dead_at IS NULL;
