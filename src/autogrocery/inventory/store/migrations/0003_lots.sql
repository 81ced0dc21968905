-- Lots: what one delivery brought of one SKU. Every unit that robots draw from the shelf of a SKU has a number, counted up in
-- `drawn`; a line knows the first number it drew, a lot the numbers that came out of it, and so which order got which lot.
-- `settled` is the number up to which that is written down; beyond it the rule decides: first expired, first out.
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '5s';

ALTER TABLE inventory.stock
  ADD COLUMN drawn bigint NOT NULL DEFAULT 0,
  ADD COLUMN settled bigint NOT NULL DEFAULT 0,
  ADD COLUMN sellable_until timestamptz NOT NULL DEFAULT 'infinity';
COMMENT ON COLUMN inventory.stock.sellable_until IS 'not later than any lot on the shelf expires; from then on nothing is sold or picked before lots are settled';
ALTER TABLE inventory.stock ADD CONSTRAINT settled_is_not_beyond_drawn CHECK (settled <= drawn) NOT VALID;
CREATE INDEX stock_by_expiry ON inventory.stock (sellable_until) WHERE sellable_until < 'infinity';
ALTER TABLE inventory.order_lines ADD COLUMN drawn_from bigint;
COMMENT ON COLUMN inventory.order_lines.drawn_from IS 'the number of the first unit drawn for it; the picked ones come first';

CREATE TABLE inventory.lots (
  sku         text COLLATE "C" NOT NULL REFERENCES inventory.stock (sku),
  lot         text COLLATE "C" NOT NULL CONSTRAINT lot_is_a_code CHECK (lot ~ '^[0-9A-F]{12}$'),
  restock_id  uuid,
  expiry_at   timestamptz NOT NULL DEFAULT 'infinity',
  received    bigint NOT NULL CONSTRAINT lot_received_something CHECK (received > 0),
  remaining   bigint NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  expired_at  timestamptz,
  recalled_at timestamptz,
  recalled_after bigint,
  PRIMARY KEY (sku, lot),
  CONSTRAINT lot_names_one_sku UNIQUE (lot),
  CONSTRAINT lot_has_what_it_received_at_most CHECK (remaining BETWEEN 0 AND received),
  CONSTRAINT recall_knows_the_last_fence CHECK ((recalled_at IS NULL) = (recalled_after IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE inventory.lots IS 'remaining counts the units drawn up to stock.settled; with expired_at or recalled_at a lot is off sale';
COMMENT ON COLUMN inventory.lots.recalled_after IS 'the fence given last before the recall: robots with it or an earlier one were at work';
CREATE INDEX lots_on_the_shelf ON inventory.lots (sku, expiry_at) WHERE remaining > 0;

CREATE TABLE inventory.lot_draws (
  sku         text COLLATE "C" NOT NULL,
  drawn_from  bigint NOT NULL,
  drawn_until bigint NOT NULL,
  lot         text COLLATE "C" NOT NULL,
  PRIMARY KEY (sku, drawn_from),
  FOREIGN KEY (sku, lot) REFERENCES inventory.lots (sku, lot),
  CONSTRAINT draw_has_units CHECK (drawn_until > drawn_from)
);
COMMENT ON TABLE inventory.lot_draws IS 'units numbered drawn_from .. drawn_until - 1 of the SKU came out of the lot';
CREATE TRIGGER lot_draws_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON inventory.lot_draws
  FOR EACH STATEMENT EXECUTE FUNCTION inventory.refuse_change();

ALTER TABLE inventory.ledger ADD COLUMN lot text COLLATE "C";
COMMENT ON COLUMN inventory.ledger.lot IS 'the lot that left the shelf as expired or recalled; ref then names the one time it did';
-- Each of the two is replaced in this transaction by one that allows more.
-- squawk-ignore ban-drop-constraint
ALTER TABLE inventory.ledger DROP CONSTRAINT cause_is_known, DROP CONSTRAINT cause_has_its_sign;
ALTER TABLE inventory.ledger
  ADD CONSTRAINT cause_is_known CHECK (cause IN ('restock', 'shrink', 'expired', 'recall')) NOT VALID,
  ADD CONSTRAINT cause_has_its_sign CHECK ((cause = 'restock') = (delta > 0) AND delta <> 0) NOT VALID,
  ADD CONSTRAINT lot_that_left_is_named CHECK ((cause IN ('expired', 'recall')) = (lot IS NOT NULL)) NOT VALID;

-- What stands on the shelf already is one lot of its SKU, without an expiry.
INSERT INTO inventory.lots (sku, lot, received, remaining)
SELECT sku, upper(left(encode(sha256(convert_to('before lots ' || sku, 'UTF8')), 'hex'), 12)), units, units
  FROM (SELECT sku, on_hand + held + allocated AS units FROM inventory.stock) s WHERE units > 0;

-- Of each lot on the shelf, the units that were drawn from it and are not yet written down: `took` from number `drawn_from` on.
CREATE VIEW inventory.lot_shares AS
SELECT sku, lot, expiry_at, received_at, recalled, on_sale, remaining, settled + before AS drawn_from,
       CASE WHEN on_sale THEN greatest(least(remaining, drawn - settled - before), 0) ELSE 0 END AS took
  FROM (SELECT *, coalesce(sum(remaining) FILTER (WHERE on_sale) OVER (
                    PARTITION BY sku ORDER BY expiry_at, received_at, lot ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                  0)::bigint AS before
          FROM (SELECT l.*, s.drawn, s.settled, l.recalled_at IS NOT NULL AS recalled,
                       l.expired_at IS NULL AND l.recalled_at IS NULL AS on_sale
                  FROM inventory.lots l JOIN inventory.stock s ON s.sku = l.sku WHERE l.remaining > 0) on_shelf) queued;

-- Which order got how many units of which lot.
CREATE VIEW inventory.lot_picks AS
SELECT l.order_id, l.sku, d.lot,
       (least(l.drawn_from + l.picked, d.drawn_until) - greatest(l.drawn_from, d.drawn_from))::int AS quantity
  FROM (SELECT sku, lot, drawn_from, drawn_until FROM inventory.lot_draws
        UNION ALL
        SELECT sku, lot, drawn_from, drawn_from + took FROM inventory.lot_shares WHERE took > 0) d
  JOIN inventory.order_lines l
    ON l.sku = d.sku AND l.drawn_from < d.drawn_until AND l.drawn_from + l.picked > d.drawn_from
 WHERE l.picked > 0;
