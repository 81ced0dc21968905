-- Who may speak to the gateway. The first five columns are the seed's; a row that gives only those is a device.

CREATE TABLE smart_devices (
  id          serial PRIMARY KEY,
  device_id   varchar(100) NOT NULL UNIQUE,
  password    text NOT NULL,
  email       varchar(255),                     -- not unique: one household, two fridges
  phone       varchar(20),
  kind        text NOT NULL DEFAULT 'device',
  robot_class text,
  scopes      text[],                           -- null: the defaults of the kind
  disabled_at timestamptz,
  created_at  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT device_id_is_visible_ascii CHECK (device_id ~ '^[\x21-\x7e]{1,100}$'),
  CONSTRAINT password_is_a_hash CHECK (password ~ '^\$2[aby]?\$'),
  CONSTRAINT kind_is_known CHECK (kind IN ('device', 'truck', 'robot', 'operator')),
  CONSTRAINT robots_have_a_class CHECK ((kind = 'robot') = (robot_class IS NOT NULL)),
  CONSTRAINT robot_class_is_known CHECK (robot_class IN ('bread', 'dairy', 'meat', 'produce', 'party'))
);
CREATE INDEX smart_devices_disabled ON smart_devices (id) WHERE disabled_at IS NOT NULL;

CREATE TABLE refresh_tokens (
  token_sha256 bytea PRIMARY KEY,
  family       uuid NOT NULL,
  user_id      integer NOT NULL REFERENCES smart_devices (id),
  issued_at    timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz NOT NULL,
  parent       bytea,                         -- the token that this one was given for
  replaced_at  timestamptz,
  revoked_at   timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
