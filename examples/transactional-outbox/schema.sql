-- What the shop's own database needs beside the shop's tables.

-- Messages that are to be published: written in the transaction they tell of, deleted after the broker's confirm.
CREATE TABLE rmq_outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  message_id uuid NOT NULL DEFAULT gen_random_uuid(),
  -- Messages of one aggregate (a customer, an order ...) are published in the order of their positions.
  aggregate text NOT NULL,
  exchange text NOT NULL,
  routing_key text NOT NULL,
  payload json NOT NULL,
  written_at timestamptz NOT NULL DEFAULT now(),
  -- For those that the broker did not take: how often, why, and when to try again.
  attempts integer NOT NULL DEFAULT 0,
  last_error text,
  not_before timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX rmq_outbox_by_aggregate ON rmq_outbox (aggregate, position);

-- Messages that were handled: written in the transaction of their effect.
CREATE TABLE rmq_inbox (
  subscription text NOT NULL,
  message_id text NOT NULL,
  handled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (subscription, message_id)
);
CREATE INDEX rmq_inbox_by_age ON rmq_inbox (handled_at);

-- The shop itself.
CREATE TABLE customers (
  name text PRIMARY KEY,
  credit integer NOT NULL,
  orders integer NOT NULL DEFAULT 0
);
CREATE TABLE orders (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  customer text NOT NULL REFERENCES customers,
  number integer NOT NULL,
  price integer NOT NULL
);

-- The warehouse. In real life it has a database of its own, with an rmq_inbox in it.
CREATE TABLE shipments (
  order_id uuid NOT NULL,
  shipped_at timestamptz NOT NULL DEFAULT now()
);
