-- What operators switch, and the log of everything that they write.

SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '5s';

CREATE TABLE ops_switches (
  name       text PRIMARY KEY,
  is_on      boolean NOT NULL,
  reason     text NOT NULL,
  operator   text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now(),
  until      timestamptz,                       -- it ends by itself then
  CONSTRAINT switch_is_known
    CHECK (name ~ '^(pause_previews|pause_dispatch|maintenance|drain_aisle:(bread|dairy|meat|produce|party))$')
);

CREATE TABLE ops_audit_log (
  entry_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at              timestamptz NOT NULL DEFAULT now(),
  operator        text NOT NULL,
  action          text NOT NULL,
  target          text NOT NULL,
  reason          text NOT NULL,
  outcome         text NOT NULL DEFAULT 'started',
  before          jsonb,
  after           jsonb,
  idempotency_key text,
  request_sha256  bytea NOT NULL,
  answer          jsonb,                        -- for the same request under the same key
  CONSTRAINT outcome_is_known CHECK (outcome ~ '^(started|done|in_doubt|refused:[a-z_]+)$'),
  CONSTRAINT done_has_an_answer CHECK (outcome NOT IN ('done', 'in_doubt') OR answer IS NOT NULL)
);
CREATE UNIQUE INDEX ops_audit_log_key ON ops_audit_log (operator, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- An entry is written before its action runs, and finished once after it. Nothing else changes or removes one.
CREATE FUNCTION guard_ops_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.outcome = 'started' AND NEW.outcome <> 'started'
     AND (NEW.entry_id, NEW.at, NEW.operator, NEW.action, NEW.target, NEW.reason, NEW.request_sha256)
         = (OLD.entry_id, OLD.at, OLD.operator, OLD.action, OLD.target, OLD.reason, OLD.request_sha256) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the audit log only grows' USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_log_only_grows';
END $$;
CREATE TRIGGER audit_log_only_grows BEFORE UPDATE OR DELETE ON ops_audit_log
  FOR EACH ROW EXECUTE FUNCTION guard_ops_audit_log();
CREATE TRIGGER audit_log_is_not_emptied BEFORE TRUNCATE ON ops_audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION guard_ops_audit_log();
