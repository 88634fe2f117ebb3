-- Which messages were handled, or are being handled now. One table for each service that deduplicates.
CREATE TABLE rmq_handled (
  subscription text NOT NULL,
  message_id text NOT NULL,
  holder text NOT NULL,
  is_done boolean NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (subscription, message_id)
);
CREATE INDEX rmq_handled_by_expiry ON rmq_handled (expires_at);
