-- Who may register a device while REGISTRATION is "code": hashes of codes that an operator made, each for so many devices.

SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '5s';

CREATE TABLE enrolment_codes (
  code_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code_sha256 bytea NOT NULL UNIQUE,
  uses        integer NOT NULL,
  uses_left   integer NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  expires_at  timestamptz NOT NULL,
  revoked_at  timestamptz,
  CONSTRAINT code_is_a_digest CHECK (length(code_sha256) = 32),
  CONSTRAINT code_is_never_overdrawn CHECK (uses_left BETWEEN 0 AND uses)
);
