-- Invariants of inventory's database. Each query returns the rows that violate it; no row means that it holds.

-- invariant: stock_is_conserved — on hand + held + allocated + picked is the sum of the ledger, for every SKU
SELECT s.sku, s.on_hand + s.held + s.allocated + s.picked AS counted, coalesce(l.entered, 0) AS entered
  FROM inventory.stock s
  LEFT JOIN (SELECT sku, sum(delta) AS entered FROM inventory.ledger GROUP BY sku) l ON l.sku = s.sku
 WHERE s.on_hand + s.held + s.allocated + s.picked <> coalesce(l.entered, 0);

-- invariant: no_balance_is_negative — no count of a SKU is below zero
SELECT sku, on_hand, held, allocated, picked FROM inventory.stock
 WHERE least(on_hand, held, allocated, picked) < 0;

-- invariant: held_is_the_holds — the held units of a SKU are the sum of its live holds
SELECT s.sku, s.held, coalesce(h.held, 0) AS promised
  FROM inventory.stock s
  LEFT JOIN (SELECT l.sku, sum(l.quantity) AS held
               FROM inventory.order_lines l JOIN inventory.orders o USING (order_id)
              WHERE o.state = 'HELD' GROUP BY l.sku) h ON h.sku = s.sku
 WHERE s.held <> coalesce(h.held, 0);

-- invariant: allocated_is_the_open_work — the allocated units of a SKU are the sum of what robots still have to pick
SELECT s.sku, s.allocated, coalesce(a.allocated, 0) AS promised
  FROM inventory.stock s
  LEFT JOIN (SELECT l.sku, sum(l.quantity) AS allocated
               FROM inventory.order_lines l
               JOIN inventory.assignments a ON a.order_id = l.order_id AND a.aisle = l.aisle_type
              WHERE a.state IN ('OPEN', 'STARTED') GROUP BY l.sku) a ON a.sku = s.sku
 WHERE s.allocated <> coalesce(a.allocated, 0);

-- invariant: picked_is_what_was_reported — the picked units of a SKU are the sum of the picked counts of all orders
SELECT s.sku, s.picked, coalesce(p.picked, 0) AS reported
  FROM inventory.stock s
  LEFT JOIN (SELECT sku, sum(picked) AS picked FROM inventory.order_lines GROUP BY sku) p ON p.sku = s.sku
 WHERE s.picked <> coalesce(p.picked, 0);

-- invariant: one_live_dispatch_an_order — an order has at most one live assignment an aisle, and only while it is ASSIGNED
SELECT a.order_id, a.aisle, o.state, count(*) AS live
  FROM inventory.assignments a JOIN inventory.orders o USING (order_id)
 WHERE a.state IN ('OPEN', 'STARTED')
 GROUP BY a.order_id, a.aisle, o.state HAVING count(*) > 1 OR o.state <> 'ASSIGNED';

-- invariant: dispatch_covers_the_order — a dispatched order has one assignment an aisle, and `unfinished` counts the open ones
SELECT o.order_id, o.state, o.unfinished, count(a.assignment_id) FILTER (WHERE a.state IN ('OPEN', 'STARTED')) AS live
  FROM inventory.orders o
  JOIN (SELECT DISTINCT order_id, aisle_type FROM inventory.order_lines) l USING (order_id)
  LEFT JOIN inventory.assignments a ON a.order_id = o.order_id AND a.aisle = l.aisle_type
 WHERE o.state IN ('ASSIGNED', 'COMPLETED', 'FAILED')
 GROUP BY o.order_id, o.state, o.unfinished
HAVING count(*) <> count(a.assignment_id) OR o.unfinished <> count(*) FILTER (WHERE a.state IN ('OPEN', 'STARTED'));

-- invariant: released_order_is_withdrawn — every assignment of a released order is withdrawn
SELECT o.order_id, a.assignment_id, a.state
  FROM inventory.orders o JOIN inventory.assignments a USING (order_id)
 WHERE o.state = 'RELEASED' AND a.state <> 'WITHDRAWN';

-- invariant: no_hold_outlives_its_expiry — the stock of a hold is freed within 60 s of its expiry
SELECT order_id, expires_at FROM inventory.orders
 WHERE state = 'HELD' AND expires_at < now() - interval '60 seconds';

-- invariant: picked_is_within_the_order — no line has more picked than ordered, and a finished order has a count on each line
SELECT l.order_id, l.sku, l.quantity, l.picked, o.state
  FROM inventory.order_lines l JOIN inventory.orders o USING (order_id)
 WHERE l.picked > l.quantity OR (o.state IN ('COMPLETED', 'FAILED') AND l.picked IS NULL)
    OR (o.state IN ('HELD', 'LAPSED', 'RELEASED') AND l.picked IS NOT NULL);

-- invariant: picked_units_are_the_lines — the picked units of an order are the sum of its lines
SELECT o.order_id, o.picked_units, coalesce(sum(l.picked), 0) AS lines
  FROM inventory.orders o LEFT JOIN inventory.order_lines l USING (order_id)
 GROUP BY o.order_id, o.picked_units HAVING o.picked_units <> coalesce(sum(l.picked), 0);

-- invariant: finished_order_has_its_webhook — a COMPLETED or FAILED order has exactly one webhook, any other none
SELECT o.order_id, o.state, count(w.webhook_id) AS webhooks
  FROM inventory.orders o LEFT JOIN inventory.webhook_outbox w USING (order_id)
 GROUP BY o.order_id, o.state
HAVING count(w.webhook_id) <> (CASE WHEN o.state IN ('COMPLETED', 'FAILED') THEN 1 ELSE 0 END);

-- invariant: webhooks_drain — an order webhook is acknowledged within 60 s, and none is given up
SELECT order_id, webhook_id, attempts, last_error, dead_at FROM inventory.webhook_outbox
 WHERE dead_at IS NOT NULL OR (done_at IS NULL AND created_at < now() - interval '60 seconds');

-- invariant: restock_is_in_the_ledger — the good units of each line of a restock order are its entries in the ledger
SELECT r.order_id, r.sku, coalesce(r.received, r.quantity) - r.damaged AS good, coalesce(l.entered, 0) AS entered
  FROM inventory.restock_lines r
  LEFT JOIN (SELECT coalesce(restock_id, ref) AS order_id, sku, sum(delta) AS entered
               FROM inventory.ledger WHERE cause = 'restock' GROUP BY 1, 2) l USING (order_id, sku)
 WHERE coalesce(r.received, r.quantity) - r.damaged <> coalesce(l.entered, 0);

-- invariant: receiving_restock_has_open_work — a restock order is RECEIVING exactly while a putaway of it is open
SELECT r.order_id, r.state, count(p.assignment_id) AS putaways, count(p.closed_at) AS done
  FROM inventory.restocks r LEFT JOIN inventory.putaways p USING (order_id)
 GROUP BY r.order_id, r.state HAVING (r.state = 'RECEIVING') <> (count(p.assignment_id) > count(p.closed_at));

-- invariant: putaways_cover_the_restock — every line that must be put away is part of a putaway
SELECT l.order_id, l.sku, l.aisle_type
  FROM inventory.restock_lines l LEFT JOIN inventory.putaways p ON p.order_id = l.order_id AND p.aisle = l.aisle_type
 WHERE l.received IS NOT NULL AND p.assignment_id IS NULL;

-- invariant: rejected_restock_brought_nothing — a closed restock order is REJECTED if no unit of it is good, else RECEIVED
SELECT r.order_id, r.state, sum(coalesce(l.received, l.quantity) - l.damaged) AS good
  FROM inventory.restocks r JOIN inventory.restock_lines l USING (order_id)
 WHERE r.state <> 'RECEIVING'
 GROUP BY r.order_id, r.state HAVING (r.state = 'REJECTED') <> (sum(coalesce(l.received, l.quantity) - l.damaged) = 0);

-- invariant: putaways_do_not_linger — a putaway is done within a day
SELECT order_id, assignment_id, aisle, state, holder, lease_until FROM inventory.putaways
 WHERE state <> 'DONE' AND created_at < now() - interval '1 day';

-- invariant: put_away_restock_has_its_webhook — the newest webhook of a closed restock order has its final state, or no body yet
SELECT r.order_id, r.state, w.webhook_id, w.body
  FROM inventory.restocks r
  LEFT JOIN LATERAL (
    SELECT webhook_id, body FROM inventory.restock_webhooks WHERE order_id = r.order_id
     ORDER BY created_at DESC, length(webhook_id) DESC, webhook_id DESC LIMIT 1) w ON true
 WHERE r.state <> 'RECEIVING' AND EXISTS (SELECT FROM inventory.putaways WHERE order_id = r.order_id)
   AND (w.webhook_id IS NULL OR w.body::jsonb ->> 'status' <> r.state);

-- invariant: restock_webhooks_drain — a restock webhook is acknowledged within 60 s, and none is given up
SELECT order_id, webhook_id, attempts, last_error, dead_at FROM inventory.restock_webhooks
 WHERE dead_at IS NOT NULL OR (done_at IS NULL AND created_at < now() - interval '60 seconds');

-- invariant: lots_are_the_shelf — the units left of a SKU's lots are its units on the shelf, free or promised
SELECT s.sku, s.on_hand + s.held + s.allocated AS counted, coalesce(l.units, 0) AS in_lots
  FROM inventory.stock s
  LEFT JOIN (SELECT sku, sum(remaining - took) AS units FROM inventory.lot_shares GROUP BY sku) l ON l.sku = s.sku
 WHERE s.on_hand + s.held + s.allocated <> coalesce(l.units, 0);

-- invariant: lot_went_somewhere — every unit of a lot is on the shelf, was drawn from it, or is in the ledger as written off
SELECT t.sku, t.lot, t.received, t.remaining, coalesce(d.units, 0) AS drawn, coalesce(g.units, 0) AS left_shelf
  FROM inventory.lots t
  LEFT JOIN (SELECT sku, lot, sum(drawn_until - drawn_from) AS units FROM inventory.lot_draws GROUP BY sku, lot) d
    ON d.sku = t.sku AND d.lot = t.lot
  LEFT JOIN (SELECT sku, lot, -sum(delta) AS units FROM inventory.ledger WHERE lot IS NOT NULL GROUP BY sku, lot) g
    ON g.sku = t.sku AND g.lot = t.lot
 WHERE t.received <> t.remaining + coalesce(d.units, 0) + coalesce(g.units, 0);

-- invariant: picks_are_of_lots — every unit picked since lots exist is of exactly one lot
SELECT l.order_id, l.sku, l.picked, coalesce(p.units, 0) AS in_lots
  FROM inventory.order_lines l
  LEFT JOIN (SELECT order_id, sku, sum(quantity) AS units FROM inventory.lot_picks GROUP BY order_id, sku) p
    ON p.order_id = l.order_id AND p.sku = l.sku
 WHERE l.drawn_from IS NOT NULL AND l.picked <> coalesce(p.units, 0);

-- invariant: nothing_off_sale_was_sold — no unit was picked from a lot after it expired or was recalled
SELECT p.order_id, p.sku, p.lot, a.closed_at, t.expiry_at, t.recalled_at
  FROM inventory.lot_picks p
  JOIN inventory.lots t ON t.sku = p.sku AND t.lot = p.lot
  JOIN inventory.order_lines l ON l.order_id = p.order_id AND l.sku = p.sku
  JOIN inventory.assignments a ON a.order_id = l.order_id AND a.aisle = l.aisle_type
 WHERE a.closed_at >= least(t.expiry_at, t.recalled_at);

-- invariant: nothing_off_sale_is_for_sale — `sellable_until` is no later than any lot's expiry, and expired units leave within 60 s
SELECT s.sku, s.on_hand, s.sellable_until, l.next_expiry
  FROM inventory.stock s
  LEFT JOIN (SELECT sku, min(CASE WHEN on_sale THEN expiry_at ELSE '-infinity' END) AS next_expiry
               FROM inventory.lot_shares WHERE remaining > took GROUP BY sku) l ON l.sku = s.sku
 WHERE s.sellable_until > coalesce(l.next_expiry, 'infinity')
    OR (s.on_hand > 0 AND s.sellable_until < now() - interval '60 seconds');
