-- Every number from first to last of an epoch is stored, set aside or void. A longer range replaces one that begins alike.
-- shard by cityHash64(epoch)
CREATE TABLE IF NOT EXISTS marks (
  epoch      UInt64,
  first      UInt64,
  last       UInt64,
  written_at DateTime('UTC') DEFAULT now('UTC')
) ENGINE = ReplacingMergeTree(last)
ORDER BY (epoch, first)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 60;

-- Numbers that the writer remembers: the highest one counts.
-- shard by cityHash64(name)
CREATE TABLE IF NOT EXISTS progress (
  name  String,
  value Int64
) ENGINE = ReplacingMergeTree(value)
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 60;

-- Frames that were no metrics. A repeated insert has the same identity (cut_at, position).
-- shard by cityHash64(cut_at)
CREATE TABLE IF NOT EXISTS poison (
  received_at DateTime64(6, 'UTC'),
  reason      LowCardinality(String),
  size        UInt32,
  frame       String,                            -- its first 4,096 bytes, in base64
  cut_at      UInt64,                            -- of the batch, in Unix microseconds
  position    UInt16                             -- within the batch
) ENGINE = ReplacingMergeTree
ORDER BY (cut_at, position)
TTL toDateTime(received_at) + INTERVAL 30 DAY;
