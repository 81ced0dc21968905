#!/usr/bin/env node
// A plain inventory and a plain pricing in memory, written only from docs/CONTRACT.md, docs/PROTOCOL.md, docs/PEERS.md
// and the .proto files.
//
//   node peer.js inventory|pricing PORT PROTO_DIRECTORY
//
// Environment:
//   GATEWAY_WEBHOOK_URL, WEBHOOK_SECRET   where webhooks go and what signs them; without a secret none are sent
//   ROBOT_TOKEN     the bearer token of robots; unset: the peer has robots of its own
//   PICK_AFTER_MS   how long after a dispatch its own robots have picked everything (200)
//   ROBOT_LEASE_MS  how long a robot keeps its work without a sign of life (30000)
//   STATE_FILE      the state is kept here from a stop to the next start
//   CURRENCY, PRICE_MARGIN_PERCENT        for pricing (USD, 30)
//
// Every handler runs from its first to its last line without an await. So Node's single thread is the lock that the
// protocol asks for: calls about one order come one after the other (K3), and stock is never promised twice (K4).
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const CLASSES = ['bread', 'dairy', 'meat', 'produce', 'party'];
const MAX_CENTS = 10 ** 12; // of one unit
const MAX_COUNT = 10 ** 9; // the most that the gateway reads as a count
const MAX_TIMER_MS = 2 ** 31 - 1; // a longer setTimeout would fire at once
const env = process.env;

// ---------------------------------------------------------------------------------------------- what both kinds need

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Nonsense gets INVALID_ARGUMENT. A refusal never does: it is an answer in the reply. */
function insist(condition, message) {
  if (!condition) throw new Refused(grpc.status.INVALID_ARGUMENT, message);
}

function isText(value, most) {
  // Most texts are short enough to need no count of code points.
  return value.length > 0 && (value.length <= most || [...value].length <= most) && !/\p{Cc}/u.test(value);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const checkOrderId = (id) => insist(UUID.test(id), 'an order_id is a UUID');
const checkSku = (sku) => insist(isText(sku, 64), 'a SKU has 1 to 64 characters, none a control character');
const inRange = (n, low, high) => n >= low && n <= high;
const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const timestamp = (ms) => ({ seconds: String(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1e6 });

/** Turns a function from request to reply into a gRPC handler. `metadata` is read only by the robots' calls. */
function unary(handle) {
  return (call, callback) => {
    try {
      callback(null, handle(call.request, call.metadata));
    } catch (error) {
      if (!(error instanceof Refused)) console.error(error);
      callback({ code: error instanceof Refused ? error.code : grpc.status.INTERNAL, details: error.message });
    }
  };
}

/** Keeps what `dump` returns in STATE_FILE. A save takes the whole state, so it may take 5 % of the time at most. */
function stateFile(dump) {
  const name = env.STATE_FILE;
  let timer = null;
  let pause = 200;
  const save = () => {
    if (!name) return;
    const begun = Date.now();
    fs.writeFileSync(`${name}.new`, JSON.stringify(dump()));
    fs.renameSync(`${name}.new`, name); // the old state or the new one, never half of it
    pause = Math.max(200, 20 * (Date.now() - begun));
    timer = null;
  };
  const load = () => (name && fs.existsSync(name) ? JSON.parse(fs.readFileSync(name, 'utf8')) : null);
  const changed = () => { timer ||= name && setTimeout(save, pause); };
  return { load, changed, save };
}

// ---------------------------------------------------------------------------------------------------------- webhooks

/** Standard Webhooks 1.0. A webhook is sent until the answer is 2xx: the same id and body, signed anew each time. */
class Webhooks {
  constructor(changed) {
    this.changed = changed;
    this.outbox = new Map(); // id -> {id, path, body, tries}
    this.base = new URL(env.GATEWAY_WEBHOOK_URL || 'http://127.0.0.1:5051');
    const first = (env.WEBHOOK_SECRET || '').split(',')[0].trim(); // of a list, the first signs
    this.key = first.startsWith('whsec_') ? Buffer.from(first.slice(6), 'base64') : Buffer.from(first);
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 32 });
    if (!this.key.length) console.error('WEBHOOK_SECRET is not set: no webhooks are sent');
  }

  send(route, content) {
    if (!this.key.length) return;
    const hook = { id: `msg_${crypto.randomUUID()}`, path: route, body: JSON.stringify(content), tries: 0 };
    this.outbox.set(hook.id, hook);
    this.attempt(hook);
  }

  attempt(hook) {
    const at = Math.floor(Date.now() / 1000);
    const signature = crypto.createHmac('sha256', this.key).update(`${hook.id}.${at}.${hook.body}`).digest('base64');
    let over = false; // an error and a timeout may both come
    const done = (acknowledged) => {
      if (over) return;
      over = true;
      const pause = Math.min(60_000, 250 * 2 ** Math.min(hook.tries++, 10)) * (0.75 + Math.random() / 2);
      if (!acknowledged) setTimeout(() => this.attempt(hook), pause);
      else if (this.outbox.delete(hook.id)) this.changed();
    };
    const request = http.request({
      agent: this.agent, method: 'POST', hostname: this.base.hostname.replace(/^\[|\]$/g, ''),
      port: this.base.port || 80, path: this.base.pathname.replace(/\/$/, '') + hook.path,
      headers: {
        'content-type': 'application/json', 'content-length': Buffer.byteLength(hook.body),
        'webhook-id': hook.id, 'webhook-timestamp': String(at), 'webhook-signature': `v1,${signature}`,
      },
    });
    request.setTimeout(5000, () => request.destroy(new Error('no answer')));
    request.on('error', () => done(false));
    request.on('response', (response) => {
      response.resume();
      response.on('error', () => done(false));
      response.on('close', () => done(response.complete && Math.floor(response.statusCode / 100) === 2));
    });
    request.end(hook.body);
  }
}

// --------------------------------------------------------------------------------------------------------- inventory

/** The lines of a basket, merged and sorted; a repeated SKU counts once with the sum. */
function basket(items) {
  insist(inRange(items.length, 1, 100), 'a basket has 1 to 100 lines');
  const merged = new Map();
  for (const { sku, quantity } of items) {
    checkSku(sku);
    insist(inRange(quantity, 1, 999), 'a quantity is 1 to 999');
    merged.set(sku, (merged.get(sku) || 0) + quantity);
  }
  return [...merged].map(([sku, quantity]) => ({ sku, quantity })).sort((a, b) => byText(a.sku, b.sku));
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function inventory() {
  const State = { UNKNOWN: 0, HELD: 1, LAPSED: 2, ASSIGNED: 3, COMPLETED: 4, FAILED: 5, RELEASED: 6 };
  const Refusal = { SHORTAGE: 1, RELEASED: 2, ITEMS_DIFFER: 3, UNKNOWN_SKU: 4 };
  const Release = { RELEASED: 1, ALREADY_ASSIGNED: 2 };
  const Delivery = { UNKNOWN: 0, RECEIVING: 1, RECEIVED: 2, REJECTED: 3 };
  const Report = { ACCEPTED: 1, DUPLICATE: 2, STALE_FENCE: 3 };
  const [PICK, PUTAWAY] = [0, 1];
  const CANCEL = 1;
  const [SHORT, FAILED] = [2, 3]; // of a ReportPick

  const token = env.ROBOT_TOKEN || '';
  const pickAfter = Number(env.PICK_AFTER_MS || 200);
  const leaseMs = Number(env.ROBOT_LEASE_MS || 30_000);
  const patience = 5000; // then any robot of the class may begin what another was to do

  const products = new Map(); // sku -> {aisle, free}; free: on the shelf and promised to nobody
  const orders = new Map(); // id -> {id, state, wanted, granted, shortages, until, assignments, started, picked}
  const deliveries = new Map(); // id -> {id, state, content, message, items, assignments}
  let lastFence = Date.now() * 1000; // above any fence of an earlier run, even if its last save was lost

  // Derived from the above:
  const assignments = new Map(); // id -> assignment
  const fences = new Map(); // fence -> assignment that it was given for
  const work = new Map(CLASSES.map((name) => [name, [new Map(), new Map()]])); // class -> open [picks, putaways]
  const robots = new Map(CLASSES.map((name) => [name, new Set()])); // class -> robots that asked for work

  const file = stateFile(() => ({
    products: [...products], orders: [...orders.values()], deliveries: [...deliveries.values()],
    outbox: [...webhooks.outbox.values()], lastFence,
  }));
  const webhooks = new Webhooks(() => file.changed());

  // Orders.

  /** The order as it is now: a hold that is over lapses first. */
  function find(id) {
    const order = orders.get(id);
    if (order && order.state === State.HELD && order.until <= Date.now()) {
      move(order.granted, 1);
      order.state = State.LAPSED;
      file.changed();
    }
    return order;
  }

  /** Makes the stock of a hold free again when it is over, whether anybody asks for the order or not. */
  function watch(order) {
    const wait = Math.min(MAX_TIMER_MS, Math.max(1, order.until - Date.now()));
    setTimeout(() => {
      if (find(order.id) === order && order.state === State.HELD) watch(order); // it was renewed
    }, wait);
  }

  /** Takes items from their shelves, or with the sign 1 puts them back. */
  function move(items, sign) {
    for (const { sku, quantity } of items) products.get(sku).free += sign * quantity;
  }

  /** What is missing for these items; with `own`, as if that hold were free. */
  function missing(items, own = []) {
    const mine = new Map(own.map(({ sku, quantity }) => [sku, quantity]));
    const shortages = [];
    for (const { sku, quantity } of items) {
      const available = products.get(sku).free + (mine.get(sku) || 0);
      if (available < quantity) shortages.push({ sku, requested: quantity, available: Math.max(0, available) });
    }
    return shortages;
  }

  const unknown = (items) => items.filter(({ sku }) => !products.has(sku)).map(({ sku }) => sku);

  function reserveItems(request) {
    checkOrderId(request.order_id);
    insist(request.hold_seconds >= 1, 'hold_seconds is at least 1');
    const wanted = basket(request.items);
    const no = (refusal, message, shortages = []) => (
      { order_id: request.order_id, success: false, refusal, message, shortages });
    const until = Date.now() + request.hold_seconds * 1000;
    let order = find(request.order_id);

    if (order && order.state === State.RELEASED) return no(Refusal.RELEASED, 'the order was released'); // K2
    if (order && order.state !== State.LAPSED) { // K1: the same call renews a hold and is answered as before
      const asBefore = same(wanted, order.granted) || (request.allow_partial && same(wanted, order.wanted));
      if (!asBefore) return no(Refusal.ITEMS_DIFFER, 'the order has other items');
      if (order.state === State.HELD && until > order.until) order.until = until;
    } else {
      const strange = unknown(wanted);
      if (strange.length) return no(Refusal.UNKNOWN_SKU, `unknown: ${strange.join(', ')}`);
      const shortages = missing(wanted);
      let granted = wanted;
      if (shortages.length) {
        const left = new Map(shortages.map(({ sku, available }) => [sku, available]));
        granted = wanted
          .map(({ sku, quantity }) => ({ sku, quantity: left.has(sku) ? left.get(sku) : quantity }))
          .filter(({ quantity }) => quantity > 0);
        if (!request.allow_partial || !granted.length) return no(Refusal.SHORTAGE, 'not enough stock', shortages);
      }
      move(granted, -1);
      order = { id: request.order_id, state: State.HELD, wanted, granted, shortages, until, assignments: [] };
      orders.set(order.id, order);
      watch(order);
    }
    file.changed();
    const shortages = same(wanted, order.granted) ? [] : order.shortages;
    const expires = timestamp(order.until);
    return { order_id: order.id, success: true, items: order.granted, shortages, expires_at: expires };
  }

  function assignRobots(request) {
    checkOrderId(request.order_id);
    const items = basket(request.items);
    const no = (message) => ({ order_id: request.order_id, success: false, message, assignments: [] });
    let order = find(request.order_id);
    const state = order ? order.state : State.UNKNOWN;

    if (state === State.RELEASED) return no('the order was released'); // K2
    if ([State.ASSIGNED, State.COMPLETED, State.FAILED].includes(state)) { // K1
      if (!same(items, order.granted)) return no('the order was dispatched with other items');
      return { order_id: order.id, success: true, assignments: order.assignments };
    }
    const strange = unknown(items);
    if (strange.length) return no(`unknown: ${strange.join(', ')}`);
    const held = state === State.HELD ? order.granted : [];
    if (missing(items, held).length) return no('not enough stock'); // not remembered; a hold stays
    move(held, 1); // K4: the hold is replaced by the items of the dispatch in one step
    move(items, -1);
    if (!order) order = { id: request.order_id };
    orders.set(order.id, Object.assign(order, {
      state: State.ASSIGNED, wanted: items, granted: items, shortages: [], until: order.until || Date.now(),
      started: false, assignments: assign(PICK, order.id, items),
    }));
    if (!token) setTimeout(pickAll, pickAfter, order);
    file.changed();
    return { order_id: order.id, success: true, assignments: order.assignments };
  }

  function releaseItems(request) {
    checkOrderId(request.order_id);
    const order = find(request.order_id);
    const state = order ? order.state : State.UNKNOWN;
    const answer = (result) => ({ order_id: request.order_id, result });
    const ended = state === State.COMPLETED || state === State.FAILED;
    if (ended || (state === State.ASSIGNED && (order.started || request.reason !== CANCEL))) {
      return answer(Release.ALREADY_ASSIGNED); // K3
    }
    if (state === State.HELD || state === State.ASSIGNED) {
      move(order.granted, 1);
      order.assignments.forEach(finish);
    }
    orders.set(request.order_id, { id: request.order_id, state: State.RELEASED }); // K2: even if it was never seen
    file.changed();
    return answer(Release.RELEASED);
  }

  function getOrder(request) {
    checkOrderId(request.order_id);
    const { state, picked } = find(request.order_id) || { state: State.UNKNOWN };
    return { order_id: request.order_id, state, items: picked || [] };
  }

  function checkAvailability(request) {
    insist(request.skus.length <= 1000, 'at most 1,000 SKUs');
    request.skus.forEach(checkSku);
    const known = [...new Set(request.skus)].filter((sku) => products.has(sku)); // the others are left out
    return { items: known.map((sku) => ({ sku, available: Math.min(MAX_COUNT, products.get(sku).free) })) };
  }

  // Work for robots. An assignment is a part of an order or a delivery that one class of robots does.

  function assign(type, of, items) {
    const made = [];
    for (const name of CLASSES) {
      const part = items.filter(({ sku }) => products.get(sku).aisle === name);
      if (!part.length) continue;
      made.push({
        assignment_id: crypto.randomUUID(), robot_id: type === PICK ? nextRobot(name) : '', robot_class: name,
        aisle: name, items: part.map(({ sku, quantity }) => ({ sku, quantity })), order_type: type,
        of, at: Date.now(), fence: 0, holder: '', lease: 0, done: false, // these are the peer's own
      });
    }
    made.forEach(remember);
    return made;
  }

  function remember(assignment) {
    assignments.set(assignment.assignment_id, assignment);
    if (assignment.fence) fences.set(assignment.fence, assignment);
    if (token && !assignment.done) {
      work.get(assignment.robot_class)[assignment.order_type].set(assignment.assignment_id, assignment);
    }
  }

  function finish(assignment) {
    assignment.done = true;
    work.get(assignment.robot_class)[assignment.order_type].delete(assignment.assignment_id);
  }

  /** Picks go round the robots of a class that ask for work; before any has asked, to the first by name. */
  function nextRobot(name) {
    const known = robots.get(name);
    if (!known.size) return `robot-${name}-1`;
    const [robot] = known;
    known.delete(robot);
    known.add(robot);
    return robot;
  }

  /** One token lets all robots in, of any class. */
  function authenticate(metadata, robot) {
    const given = Buffer.from(String(metadata.get('authorization')[0] || ''));
    const right = Buffer.from(`Bearer ${token}`);
    if (!token || given.length !== right.length || !crypto.timingSafeEqual(given, right)) {
      throw new Refused(grpc.status.UNAUTHENTICATED, 'no robot of this peer');
    }
    insist(isText(robot, 100), 'a robot_id has 1 to 100 characters');
  }

  /** Whether the robot may begin or go on: nobody else is at work, and the pick was meant for it or waits too long. */
  function mayStart(assignment, robot) {
    if (assignment.done) return false;
    if (assignment.holder) return assignment.holder === robot || assignment.lease <= Date.now();
    const meant = !assignment.robot_id || assignment.robot_id === robot;
    return meant || assignment.at + patience <= Date.now();
  }

  function listWork(request, metadata) {
    authenticate(metadata, request.robot_id);
    insist(CLASSES.includes(request.robot_class), 'no such class');
    robots.get(request.robot_class).add(request.robot_id);
    const limit = request.limit > 0 ? Math.min(request.limit, 256) : 32;
    const found = [];
    for (const open of work.get(request.robot_class)) { // picks before putaways
      for (const assignment of open.values()) {
        if (found.length === limit) break;
        if (mayStart(assignment, request.robot_id)) found.push(assignment);
      }
    }
    return { assignments: found };
  }

  function startPick(request, metadata) {
    authenticate(metadata, request.robot_id);
    const assignment = assignments.get(request.assignment_id);
    if (!assignment || !mayStart(assignment, request.robot_id)) return { granted: false };
    if (assignment.holder !== request.robot_id) { // a robot that asks again keeps its fence
      assignment.holder = request.robot_id;
      assignment.fence = ++lastFence;
      fences.set(assignment.fence, assignment);
    }
    assignment.lease = Date.now() + leaseMs;
    let items = [];
    if (assignment.order_type === PICK) orders.get(assignment.of).started = true; // K3: no release from here on
    else items = totals(assignment);
    file.changed();
    return { granted: true, fence: String(assignment.fence), lease_until: timestamp(assignment.lease), items };
  }

  function heartbeat(request, metadata) {
    authenticate(metadata, request.robot_id);
    const lost = request.fences.filter((text) => {
      const assignment = fences.get(Number(text));
      const mine = assignment && assignment.fence === Number(text) && assignment.holder === request.robot_id;
      if (mine && !assignment.done) assignment.lease = Date.now() + leaseMs;
      return !mine;
    });
    return { lost_fences: lost };
  }

  /** The assignment of a report, or null if its fence is not the last one that was given for it. */
  function reported(request, metadata, type) {
    authenticate(metadata, request.robot_id);
    const assignment = assignments.get(request.assignment_id);
    const current = assignment && assignment.order_type === type && assignment.fence === Number(request.fence)
      && assignment.holder === request.robot_id;
    if (!current) return null;
    const named = new Set(assignment.items.map(({ sku }) => sku));
    insist(request.items.every(({ sku }) => named.delete(sku)), 'the report names other items than the assignment');
    return assignment;
  }

  function reportPick(request, metadata) {
    insist(inRange(request.status, 1, 3), 'a report has a status');
    const assignment = reported(request, metadata, PICK);
    if (!assignment) return { result: Report.STALE_FENCE };
    if (assignment.done) return { result: Report.DUPLICATE };
    const counts = new Map(request.items.map(({ sku, picked }) => [sku, picked]));
    const all = request.status < SHORT && !counts.size; // PICKED and nothing else: everything
    const picked = assignment.items.map(({ sku, quantity }) => {
      const count = all ? quantity : counts.get(sku) || 0;
      insist(inRange(count, 0, quantity), 'more was picked than was ordered');
      return { sku, picked: count };
    });
    // What a robot did not find is no longer stock; what a broken robot left is still on its shelf.
    if (request.status === FAILED) {
      move(assignment.items.map(({ sku, quantity }, i) => ({ sku, quantity: quantity - picked[i].picked })), 1);
    }
    assignment.picked = picked;
    finish(assignment);
    endOrder(orders.get(assignment.of));
    file.changed();
    return { result: Report.ACCEPTED };
  }

  function endOrder(order) {
    if (!order.assignments.every(({ done }) => done)) return;
    order.picked = order.assignments.flatMap(({ picked }) => picked).sort((a, b) => byText(a.sku, b.sku));
    const any = order.picked.some(({ picked }) => picked > 0);
    order.state = any ? State.COMPLETED : State.FAILED;
    webhooks.send('/internal/webhook/update-order', {
      order_id: order.id, status: any ? 'COMPLETED' : 'FAILED', items: order.picked,
      ...(any ? {} : { reason: 'nothing was picked' }), occurred_at: new Date().toISOString(),
    });
  }

  /** The peer's own robots: they pick everything of an order that was not taken back meanwhile. */
  function pickAll(order) {
    if (orders.get(order.id) !== order || order.state !== State.ASSIGNED) return;
    order.started = true;
    for (const assignment of order.assignments) {
      assignment.picked = assignment.items.map(({ sku, quantity }) => ({ sku, picked: quantity }));
      finish(assignment);
    }
    endOrder(order);
    file.changed();
  }

  // Deliveries.

  function restockItems(request) {
    checkOrderId(request.order_id);
    insist(inRange(request.items.length, 1, 500), 'a delivery has 1 to 500 lines');
    const seen = new Set();
    for (const item of request.items) {
      checkSku(item.sku);
      insist(!seen.has(item.sku), 'a delivery names each SKU once');
      seen.add(item.sku);
      insist(!item.name || isText(item.name, 200), 'a name has at most 200 characters');
      insist(CLASSES.includes(item.aisle_type), 'no such aisle');
      insist(inRange(item.quantity, 1, 1_000_000), 'a quantity is 1 to 1,000,000');
      insist(inRange(Number(item.unit_cost_cents), 0, MAX_CENTS), 'a cost is 0 to 10^12');
    }
    const answer = (success, message = '') => ({ order_id: request.order_id, success, message });
    const lines = [...request.items].sort((a, b) => byText(a.sku, b.sku));
    const content = crypto.createHash('sha256')
      .update(JSON.stringify([request.supplier_id, request.shelved, lines])).digest('base64');
    const before = deliveries.get(request.order_id);
    if (before && before.content !== content) return answer(false, 'another delivery has this id');
    if (before) return answer(before.state !== Delivery.REJECTED, before.message);

    const elsewhere = lines.find(({ sku, aisle_type }) => products.has(sku) && products.get(sku).aisle !== aisle_type);
    const delivery = { id: request.order_id, content, items: [], assignments: [] };
    deliveries.set(delivery.id, delivery);
    file.changed();
    if (elsewhere) {
      delivery.state = Delivery.REJECTED;
      delivery.message = `${elsewhere.sku} is in another aisle`;
      return answer(false, delivery.message);
    }
    for (const { sku, aisle_type } of lines) {
      if (!products.has(sku)) products.set(sku, { aisle: aisle_type, free: 0 });
    }
    delivery.message = '';
    delivery.state = Delivery.RECEIVING;
    delivery.items = lines.map(({ sku, quantity }) => ({ sku, quantity, received: 0, damaged: 0 }));
    if (request.shelved) {
      putAwayAll(delivery, false);
    } else {
      delivery.assignments = assign(PUTAWAY, delivery.id, lines);
      if (!token) setTimeout(putAwayAll, pickAfter, delivery);
    }
    return answer(true);
  }

  function getRestock(request) {
    checkOrderId(request.order_id);
    const delivery = deliveries.get(request.order_id) || { state: Delivery.UNKNOWN, items: [] };
    return { order_id: request.order_id, state: delivery.state, items: delivery.items };
  }

  function putAwayAll(delivery, tell = true) {
    if (delivery.state !== Delivery.RECEIVING) return;
    for (const item of delivery.items) {
      products.get(item.sku).free += item.quantity - item.received;
      item.received = item.quantity;
    }
    delivery.assignments.forEach(finish);
    delivery.state = Delivery.RECEIVED;
    if (tell) tellDelivery(delivery);
    file.changed();
  }

  /** The totals so far of an assignment's lines. */
  function totals(assignment) {
    const skus = new Set(assignment.items.map(({ sku }) => sku));
    return deliveries.get(assignment.of).items.filter(({ sku }) => skus.has(sku));
  }

  function reportPutaway(request, metadata) {
    const assignment = reported(request, metadata, PUTAWAY);
    if (!assignment) return { result: Report.STALE_FENCE };
    for (const { received, damaged } of request.items) {
      insist(inRange(received, 0, 1_000_000) && inRange(damaged, 0, received), 'damaged units are received ones');
    }
    if (assignment.done) return { result: Report.DUPLICATE };
    const delivery = deliveries.get(assignment.of);
    const known = new Map(totals(assignment).map((item) => [item.sku, item]));
    let news = request.done;
    for (const { sku, received, damaged } of request.items) {
      const item = known.get(sku);
      const good = received - damaged - (item.received - item.damaged); // newly for sale
      const late = received < item.received || damaged < item.damaged || good < 0; // an older report
      if (late || (received === item.received && damaged === item.damaged)) continue;
      Object.assign(item, { received, damaged });
      products.get(sku).free += good;
      news = true;
    }
    if (!news) return { result: Report.DUPLICATE };
    if (request.done) finish(assignment);
    if (delivery.assignments.every(({ done }) => done)) delivery.state = Delivery.RECEIVED;
    tellDelivery(delivery);
    file.changed();
    return { result: Report.ACCEPTED };
  }

  function tellDelivery(delivery) {
    webhooks.send('/internal/webhook/update-restock', {
      order_id: delivery.id, status: delivery.state === Delivery.RECEIVED ? 'RECEIVED' : 'RECEIVING',
      items: delivery.items.map(({ sku, received, damaged }) => ({ sku, received, damaged })),
      occurred_at: new Date().toISOString(),
    });
  }

  // What was said before a restart holds after it; its own robots go on where they were.
  const saved = file.load();
  if (saved) {
    saved.products.forEach(([sku, product]) => products.set(sku, product));
    lastFence = Math.max(lastFence, saved.lastFence);
    for (const order of saved.orders) {
      orders.set(order.id, order);
      (order.assignments || []).forEach(remember);
      if (order.state === State.HELD) watch(order);
      if (order.state === State.ASSIGNED && !token) setTimeout(pickAll, pickAfter, order);
    }
    for (const delivery of saved.deliveries) {
      deliveries.set(delivery.id, delivery);
      delivery.assignments.forEach(remember);
      if (delivery.state === Delivery.RECEIVING && !token) setTimeout(putAwayAll, pickAfter, delivery);
    }
    for (const hook of saved.outbox) {
      webhooks.outbox.set(hook.id, hook);
      webhooks.attempt(hook);
    }
  }

  return {
    file,
    calls: {
      ReserveItems: reserveItems, AssignRobots: assignRobots, ReleaseItems: releaseItems, GetOrder: getOrder,
      CheckAvailability: checkAvailability, RestockItems: restockItems, GetRestock: getRestock, ListWork: listWork,
      StartPick: startPick, Heartbeat: heartbeat, ReportPick: reportPick, ReportPutaway: reportPutaway,
    },
  };
}

// ----------------------------------------------------------------------------------------------------------- pricing

/** A text in any case and Unicode form: Müsli as MÜSLI, ß as ss; accents count. */
const fold = (text) => text.normalize('NFD').toLowerCase().toUpperCase().normalize('NFC');

function pricing() {
  const currency = env.CURRENCY || 'USD';
  const margin = BigInt(env.PRICE_MARGIN_PERCENT || 30);
  const products = new Map(); // sku -> product with what a search needs: bytes to sort, name and SKU folded
  let sorted = null; // the products by the bytes of their SKUs; null: to be sorted again

  const file = stateFile(() => [...products.values()].map(({ product }) => product));
  const put = (product) => products.set(product.sku, {
    product, bytes: Buffer.from(product.sku), texts: [fold(product.name), fold(product.sku)],
  });
  (file.load() || []).forEach(put);

  function quote(request) {
    insist(inRange(request.items.length, 1, 100), 'a basket has 1 to 100 lines');
    const seen = new Set();
    const lines = [];
    const strange = [];
    let total = 0n; // 100 lines of 999 units at 10^12 are more than a number holds exactly
    for (const { sku, quantity } of request.items) {
      checkSku(sku);
      insist(inRange(quantity, 1, 999), 'a quantity is 1 to 999');
      insist(!seen.has(sku), 'a basket names each SKU once');
      seen.add(sku);
      const found = products.get(sku);
      if (found) {
        const { name, unit_price_cents: price } = found.product;
        total += BigInt(price * quantity);
        lines.push({ sku, name, quantity, unit_price_cents: price, line_total_cents: price * quantity });
      } else strange.push(sku); // no line, no cost
    }
    return { order_id: request.order_id, currency, lines, total_cents: String(total), unknown_skus: strange };
  }

  function listProducts(request) {
    sorted ||= [...products.values()].sort((a, b) => Buffer.compare(a.bytes, b.bytes));
    const limit = request.limit > 0 ? Math.min(request.limit, 200) : 50;
    const query = fold(request.query);
    const after = Buffer.from(request.cursor);
    let low = 0; // the first product behind the cursor
    for (let high = sorted.length; request.cursor && low < high;) {
      const middle = (low + high) >> 1;
      if (Buffer.compare(sorted[middle].bytes, after) <= 0) low = middle + 1;
      else high = middle;
    }
    const page = [];
    for (let i = low; i < sorted.length; i++) {
      if (query && !sorted[i].texts.some((text) => text.includes(query))) continue;
      if (page.length === limit) return { products: page, next_cursor: page[limit - 1].sku }; // there is one more
      page.push(sorted[i].product);
    }
    return { products: page, next_cursor: '' };
  }

  function getPrice(request) {
    const found = products.get(request.sku);
    return found ? { product: found.product } : {};
  }

  function updateStockMetrics(request) {
    const updates = request.updates.map((update) => { // all or none: every line is checked before the first counts
      checkSku(update.sku);
      insist(!update.name || isText(update.name, 200), 'a name has at most 200 characters');
      insist(!update.aisle_type || CLASSES.includes(update.aisle_type), 'no such aisle');
      insist(update.quantity >= 0, 'a quantity is not below 0');
      const [cost, asked] = [BigInt(update.unit_cost_cents), BigInt(update.unit_price_cents)];
      insist(cost >= 0n && asked >= 0n, 'a price is not below 0');
      const price = asked > 0n ? asked : (cost * (100n + margin) + 99n) / 100n; // rounded up
      insist(price <= BigInt(MAX_CENTS), 'a price is at most 10^12');
      return { ...update, price: Number(price) };
    });
    for (const { sku, name, aisle_type, price } of updates) {
      const old = products.has(sku) ? products.get(sku).product : { name: sku, aisle_type: '' };
      const aisle = aisle_type || old.aisle_type;
      put({ sku, name: name || old.name, aisle_type: aisle, unit_price_cents: price, currency });
    }
    sorted = null;
    file.changed();
    return { updated: updates.length };
  }

  return {
    file,
    calls: { Quote: quote, ListProducts: listProducts, GetPrice: getPrice, UpdateStockMetrics: updateStockMetrics },
  };
}

// ------------------------------------------------------------------------------------------------------------- start

function main([kind, port, protos]) {
  const kinds = { inventory, pricing };
  if (!Object.hasOwn(kinds, kind || '') || !protos) {
    console.error('usage: node peer.js inventory|pricing PORT PROTO_DIRECTORY');
    process.exit(2);
  }
  const definition = loader.loadSync(`autogrocery/contracts/${kind}/v1/${kind}.proto`, {
    includeDirs: [path.resolve(protos)], keepCase: true, longs: String, defaults: true,
  });
  const Service = grpc.loadPackageDefinition(definition).autogrocery[kind].v1[
    kind === 'inventory' ? 'InventoryService' : 'PricingService'];
  const { file, calls } = kinds[kind]();
  const server = new grpc.Server();
  server.addService(Service.service, Object.fromEntries(Object.entries(calls).map(([k, f]) => [k, unary(f)])));
  server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) {
      console.error(error.message);
      process.exit(2);
    }
    console.log('ready');
  });
  const end = () => {
    file.save(); // after the last answer, so that what was said is kept
    process.exit(0);
  };
  const stop = () => {
    server.tryShutdown(end);
    setTimeout(end, 1000); // a caller that keeps its connection is not waited for
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

main(process.argv.slice(2));
