-- Alerts by SMS: what a device wants to hear of, and what is to be told.

SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '5s';

ALTER TABLE smart_devices ADD COLUMN alerts text NOT NULL DEFAULT 'trouble';
ALTER TABLE smart_devices ADD COLUMN alerts_off_at timestamptz;  -- since when it wants none
ALTER TABLE smart_devices ADD CONSTRAINT alerts_are_known CHECK (alerts IN ('none', 'trouble', 'all')) NOT VALID;
ALTER TABLE smart_devices ADD CONSTRAINT opting_out_has_a_time CHECK ((alerts = 'none') = (alerts_off_at IS NOT NULL)) NOT VALID;

CREATE TABLE alert_outbox (
  order_id        uuid NOT NULL REFERENCES grocery_orders (order_id),
  event           text NOT NULL,
  user_id         integer NOT NULL REFERENCES smart_devices (id),
  created_at      timestamptz NOT NULL DEFAULT now(),
  attempts        integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  admitted_at     timestamptz,                  -- when it was counted against its device's day, before the first try
  done_at         timestamptz,
  dead_at         timestamptz,
  last_error      text,                         -- on a row that is done: why nothing was sent
  PRIMARY KEY (order_id, event),
  CONSTRAINT event_is_known CHECK (event IN ('COMPLETED', 'PARTIAL', 'FAILED'))
);
CREATE INDEX alert_outbox_due ON alert_outbox (next_attempt_at) WHERE done_at IS NULL AND dead_at IS NULL;
CREATE INDEX alert_outbox_of_device ON alert_outbox (user_id, admitted_at) WHERE admitted_at IS NOT NULL;
