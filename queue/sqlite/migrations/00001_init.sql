-- +goose Up
-- Times are Unix milliseconds UTC; 0 or NULL where the column says so. SQL never asks for "now".

CREATE TABLE setting (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

-- Messages on their way out ------------------------------------------------

CREATE TABLE message (
  seq        INTEGER PRIMARY KEY,          -- order of acceptance
  id         TEXT NOT NULL UNIQUE,         -- UUIDv7
  recipient  TEXT NOT NULL,                -- E.164, or a short code
  text       TEXT NOT NULL,
  class      TEXT NOT NULL CHECK (class IN ('otp','alert','normal','bulk')),
  lane       INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 2), -- 0 otp and alert, 1 normal, 2 bulk
  state      TEXT NOT NULL CHECK (state IN ('scheduled','held','queued','sending','sent','delivered',
               'undelivered','uncertain','failed','expired','cancelled')),
  reason     TEXT NOT NULL DEFAULT '',
  reference  TEXT NOT NULL DEFAULT '',
  encoding   TEXT NOT NULL,
  delivery   TEXT NOT NULL CHECK (delivery IN ('at_most_once','at_least_once','bounded')),
  report     INTEGER NOT NULL DEFAULT 1,
  flash      INTEGER NOT NULL DEFAULT 0,
  sim        TEXT NOT NULL DEFAULT '',     -- ICCID that may claim it: the wished one, or the one it is bound to since a segment left; '' any
  wish       TEXT NOT NULL DEFAULT '',     -- ICCID that was asked for; '' any
  sender     TEXT NOT NULL DEFAULT '',     -- the SIM's number when it was sent
  modem      TEXT NOT NULL DEFAULT '',
  avoid_sim  TEXT NOT NULL DEFAULT '',     -- not this SIM on the next try, …
  avoid_until INTEGER NOT NULL DEFAULT 0,  -- … until then: it may be the only one left
  campaign   TEXT NOT NULL DEFAULT '',
  key_id     TEXT NOT NULL DEFAULT '',
  reply_to   TEXT NOT NULL DEFAULT '',
  segments   INTEGER NOT NULL,
  next       INTEGER NOT NULL DEFAULT 1,   -- the segment to send next, from 1
  attempts   INTEGER NOT NULL DEFAULT 0,   -- that passed the gate
  ambiguous  INTEGER NOT NULL DEFAULT 0,   -- that lost their answer
  edition    INTEGER NOT NULL DEFAULT 1,   -- of its segments: encoded anew when their SIM was gone for good
  ambiguous_before INTEGER NOT NULL DEFAULT 0, -- of the lost answers: of earlier editions
  failures   INTEGER NOT NULL DEFAULT 0,   -- consecutive ones, for back-off
  possible_duplicate INTEGER NOT NULL DEFAULT 0,
  claimed_by TEXT NOT NULL DEFAULT '',     -- ICCID of the line that has it; '' nobody. Cleared at boot
  claims     INTEGER NOT NULL DEFAULT 0,   -- how often it was claimed: tells one claim from the next
  not_before INTEGER NOT NULL DEFAULT 0,   -- 0: ready now; else back-off or send_at: Wake looks again then
  valid_ms   INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  send_at    INTEGER NOT NULL DEFAULT 0,
  expires_at INTEGER NOT NULL,
  sent_at    INTEGER NOT NULL DEFAULT 0,
  delivered_at INTEGER NOT NULL DEFAULT 0,
  decide_at  INTEGER NOT NULL DEFAULT 0,   -- uncertain: when the evidence window ends; 0: final
  error_code   TEXT NOT NULL DEFAULT '',
  error_class  TEXT NOT NULL DEFAULT '',
  error_detail TEXT NOT NULL DEFAULT ''
);
-- What a line may claim, in the order it claims: its own pinned ones (sim = ICCID) and anybody's (sim = '').
-- 'sending' and unclaimed is a long message between two of its segments.
CREATE INDEX message_ready  ON message(sim, lane, seq) WHERE state IN ('queued','sending') AND claimed_by = '' AND not_before = 0;
CREATE INDEX message_claim  ON message(claimed_by) WHERE claimed_by <> '';
CREATE INDEX message_wait   ON message(not_before) WHERE not_before > 0;
CREATE INDEX message_avoid  ON message(avoid_until) WHERE avoid_until > 0;
CREATE INDEX message_bound  ON message(sim) WHERE segments > 1 AND delivery = 'at_least_once' AND state IN ('queued','sending');
CREATE INDEX message_expiry ON message(expires_at) WHERE state IN ('scheduled','held','queued','sending');
CREATE INDEX message_sent   ON message(sent_at) WHERE sent_at > 0;
CREATE INDEX message_state  ON message(state, seq);
CREATE INDEX message_to     ON message(recipient, seq);
CREATE INDEX message_ref    ON message(reference, seq) WHERE reference <> '';
CREATE INDEX message_campaign ON message(campaign, seq) WHERE campaign <> '';
CREATE INDEX message_decide ON message(decide_at) WHERE decide_at > 0;

-- How many messages there are by state and class, kept by the rows themselves:
-- a page asks every second, and counting a million rows takes one.
CREATE TABLE tally (
  state TEXT NOT NULL,
  class TEXT NOT NULL,
  n     INTEGER NOT NULL,
  PRIMARY KEY (state, class)
) WITHOUT ROWID;
-- +goose StatementBegin
CREATE TRIGGER message_tally_insert AFTER INSERT ON message BEGIN
  INSERT INTO tally (state, class, n) VALUES (NEW.state, NEW.class, 1)
    ON CONFLICT (state, class) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER message_tally_update AFTER UPDATE OF state ON message WHEN OLD.state <> NEW.state BEGIN
  UPDATE tally SET n = n - 1 WHERE state = OLD.state AND class = OLD.class;
  INSERT INTO tally (state, class, n) VALUES (NEW.state, NEW.class, 1)
    ON CONFLICT (state, class) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER message_tally_delete AFTER DELETE ON message BEGIN
  UPDATE tally SET n = n - 1 WHERE state = OLD.state AND class = OLD.class;
END;
-- +goose StatementEnd

-- How many messages came into each state on each local day.
CREATE TABLE daily (
  day   TEXT NOT NULL,                     -- 2006-01-02
  state TEXT NOT NULL,
  n     INTEGER NOT NULL,
  PRIMARY KEY (day, state)
) WITHOUT ROWID;

CREATE TABLE segment (
  message    INTEGER NOT NULL REFERENCES message(seq) ON DELETE CASCADE,
  n          INTEGER NOT NULL,             -- from 1
  state      TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending','sending','sent','delivered','undelivered','uncertain','failed')),
  tpdu       BLOB NOT NULL,                -- SMS-SUBMIT, TP-MR 0, no SMSC address
  mr         INTEGER NOT NULL DEFAULT -1,
  sent_at    INTEGER NOT NULL DEFAULT 0,
  report_at  INTEGER NOT NULL DEFAULT 0,
  report_status INTEGER NOT NULL DEFAULT -1, -- TP-ST of the last report
  PRIMARY KEY (message, n)
) WITHOUT ROWID;

-- One try to submit one segment on one SIM. The row is on disk before Ctrl-Z leaves.
CREATE TABLE attempt (
  id        INTEGER PRIMARY KEY,
  message   INTEGER NOT NULL REFERENCES message(seq) ON DELETE CASCADE,
  n         INTEGER NOT NULL,
  edition   INTEGER NOT NULL DEFAULT 1,    -- of the message's segments
  no        INTEGER NOT NULL,              -- of this message, from 1
  modem     TEXT NOT NULL,
  iccid     TEXT NOT NULL,
  imsi      TEXT NOT NULL,
  boot_id   TEXT NOT NULL,                 -- this run of the program
  gate_at   INTEGER NOT NULL,
  phase     TEXT NOT NULL CHECK (phase IN ('prepared','done')),
  outcome   TEXT NOT NULL DEFAULT '' CHECK (outcome IN ('','not_sent','accepted','rejected','ambiguous','duplicate')),
               -- duplicate: accepted too, after another attempt of the segment had been
  mr        INTEGER NOT NULL DEFAULT -1,
  prev_mr   INTEGER NOT NULL DEFAULT -1,   -- the SIM's TP-MR before: a lost one is likely the next
  scts      INTEGER NOT NULL DEFAULT 0,
  code      TEXT NOT NULL DEFAULT '',
  class     TEXT NOT NULL DEFAULT '',
  detail    TEXT NOT NULL DEFAULT '',
  done_at   INTEGER NOT NULL DEFAULT 0,
  CHECK (phase = 'prepared' OR outcome <> '')
);
-- The last line of defence against sending twice.
CREATE UNIQUE INDEX attempt_open_segment ON attempt(message, n) WHERE phase = 'prepared';
CREATE UNIQUE INDEX attempt_open_sim     ON attempt(iccid) WHERE phase = 'prepared';
CREATE UNIQUE INDEX attempt_accepted     ON attempt(message, n, edition) WHERE outcome = 'accepted';
CREATE INDEX attempt_message ON attempt(message, id);
-- Finding a status report's segment.
CREATE INDEX attempt_mr ON attempt(iccid, mr, gate_at);
CREATE INDEX attempt_at ON attempt(gate_at);

CREATE TABLE report (
  id        INTEGER PRIMARY KEY,
  hash      BLOB NOT NULL,                 -- of SIM and raw TPDU
  iccid     TEXT NOT NULL,
  imsi      TEXT NOT NULL,
  modem     TEXT NOT NULL,
  raw       BLOB NOT NULL,
  mr        INTEGER NOT NULL,
  recipient TEXT NOT NULL,                 -- TP-RA
  status    INTEGER NOT NULL,              -- TP-ST
  scts      INTEGER NOT NULL,
  dt        INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  seen_at   INTEGER NOT NULL,              -- last time
  message   INTEGER REFERENCES message(seq) ON DELETE CASCADE, -- NULL: an orphan, tried again
  n         INTEGER NOT NULL DEFAULT 0,
  dup_count INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX report_hash    ON report(hash, id);
CREATE INDEX report_orphan  ON report(iccid, id) WHERE message IS NULL;
CREATE INDEX report_orphan_age ON report(received_at) WHERE message IS NULL;
CREATE INDEX report_message ON report(message, id) WHERE message IS NOT NULL;

-- What the timeline cannot read from the other tables: held, released, retried, resolved, …
CREATE TABLE history (
  id      INTEGER PRIMARY KEY,
  message INTEGER NOT NULL REFERENCES message(seq) ON DELETE CASCADE,
  at      INTEGER NOT NULL,
  event   TEXT NOT NULL,
  detail  TEXT NOT NULL DEFAULT ''
);
CREATE INDEX history_message ON history(message, id);

-- Concatenation references, one counter a recipient, started at random.
CREATE TABLE concat_ref (
  recipient TEXT PRIMARY KEY,
  next      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE idempotency (
  scope  TEXT NOT NULL,
  key    TEXT NOT NULL,
  hash   BLOB NOT NULL,
  answer BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency(created_at);

-- Events: the live pages' and the webhooks' outbox -------------------------

CREATE TABLE event (
  seq  INTEGER PRIMARY KEY AUTOINCREMENT,
  id   TEXT NOT NULL,                      -- UUIDv7
  type TEXT NOT NULL,
  at   INTEGER NOT NULL,
  data TEXT NOT NULL                       -- JSON
);
CREATE INDEX event_age ON event(at);

-- Received -----------------------------------------------------------------

CREATE TABLE inbound_raw (
  id     INTEGER PRIMARY KEY,
  hash   BLOB NOT NULL,                    -- of SIM and raw TPDU
  iccid  TEXT NOT NULL,
  imsi   TEXT NOT NULL,
  modem  TEXT NOT NULL,
  raw    BLOB NOT NULL,
  kind   TEXT NOT NULL,                    -- text, binary, silent, mwi, foreign, undecodable
  error  TEXT NOT NULL DEFAULT '',
  scts   INTEGER NOT NULL DEFAULT 0,       -- TP-SCTS; 0 unreadable
  received_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,                -- last time
  dup_count INTEGER NOT NULL DEFAULT 0,
  inbound INTEGER                          -- inbound.seq; NULL when it made no message
);
CREATE INDEX inbound_raw_hash ON inbound_raw(hash, id);
CREATE INDEX inbound_raw_scts ON inbound_raw(iccid, scts);
CREATE INDEX inbound_raw_age ON inbound_raw(received_at);

CREATE TABLE inbound (
  seq    INTEGER PRIMARY KEY,
  id     TEXT NOT NULL UNIQUE,             -- UUIDv7
  sender TEXT NOT NULL,                    -- TP-OA
  number TEXT NOT NULL DEFAULT '',         -- the SIM's own
  text   TEXT NOT NULL,
  kind   TEXT NOT NULL DEFAULT 'text',
  iccid  TEXT NOT NULL,
  imsi   TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  sent_at     INTEGER NOT NULL DEFAULT 0,  -- TP-SCTS; 0 unreadable
  complete INTEGER NOT NULL,
  have   INTEGER NOT NULL,
  total  INTEGER NOT NULL,
  ref    INTEGER NOT NULL DEFAULT -1,
  wide   INTEGER NOT NULL DEFAULT 0,
  open   INTEGER NOT NULL DEFAULT 0,       -- still waiting for segments
  shut   INTEGER NOT NULL DEFAULT 0,       -- another set took its key: takes no more segments
  partial_at INTEGER NOT NULL DEFAULT 0,   -- inbound.partial was told
  read_at INTEGER NOT NULL DEFAULT 0
);
-- A late segment still finds a set that waits no more, unless that was shut.
CREATE INDEX inbound_set    ON inbound(iccid, sender, ref, total, wide, seq) WHERE complete = 0 AND shut = 0;
CREATE INDEX inbound_open   ON inbound(received_at) WHERE open = 1;
CREATE INDEX inbound_open_sender ON inbound(sender, seq) WHERE open = 1;
CREATE INDEX inbound_sender ON inbound(sender, seq);
CREATE INDEX inbound_unread ON inbound(seq) WHERE read_at = 0;

CREATE TABLE inbound_segment (
  inbound INTEGER NOT NULL REFERENCES inbound(seq) ON DELETE CASCADE,
  n       INTEGER NOT NULL,
  raw     INTEGER NOT NULL,                -- inbound_raw.id
  encoding INTEGER NOT NULL,               -- pdu.Encoding, with udh and data what joining needs
  udh     BLOB,
  data    BLOB,
  hash    BLOB NOT NULL,                   -- of the TPDU's user data, to tell a repeat from another set
  PRIMARY KEY (inbound, n)
) WITHOUT ROWID;

-- One row a number that wrote to us.
CREATE TABLE conversation (
  number  TEXT PRIMARY KEY,
  last_at INTEGER NOT NULL,
  last_text TEXT NOT NULL,
  last_out INTEGER NOT NULL DEFAULT 0,     -- 1: the last one was ours
  last_in INTEGER NOT NULL DEFAULT 0,      -- inbound.seq of the last one received
  iccid   TEXT NOT NULL,                   -- the SIM that received last: replies leave on it
  unread  INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX conversation_last ON conversation(last_at);

-- SIMs: what must outlive a run --------------------------------------------

CREATE TABLE sim (
  iccid    TEXT PRIMARY KEY,
  imsi     TEXT NOT NULL DEFAULT '',
  name     TEXT NOT NULL DEFAULT '',
  number   TEXT NOT NULL DEFAULT '',       -- entered by a person; wins over the SIM's own
  own_number TEXT NOT NULL DEFAULT '',     -- AT+CNUM
  operator TEXT NOT NULL DEFAULT '',
  smsc     TEXT NOT NULL DEFAULT '',
  enabled  INTEGER NOT NULL DEFAULT 1,
  emulated INTEGER NOT NULL DEFAULT 0,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  sent_total INTEGER NOT NULL DEFAULT 0,   -- segments accepted
  sent_on    TEXT NOT NULL DEFAULT '',     -- 2006-01-02, local: the day that …
  sent_day   INTEGER NOT NULL DEFAULT 0,   -- … so many of them were of
  last_mr    INTEGER NOT NULL DEFAULT -1,  -- TP-MR of the last one
  clock_offset INTEGER,                    -- the service centre's clock less ours, ms; NULL: no report has told yet
  last_sent_at INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE UNIQUE INDEX sim_name ON sim(name) WHERE name <> '';

-- People and applications --------------------------------------------------

CREATE TABLE person (
  id       TEXT PRIMARY KEY,
  name     TEXT NOT NULL UNIQUE COLLATE NOCASE,
  role     TEXT NOT NULL CHECK (role IN ('admin','operator','reader')),
  password TEXT NOT NULL,                  -- argon2id, encoded
  language TEXT NOT NULL DEFAULT '',
  disabled INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE session (
  token  BLOB PRIMARY KEY,                 -- SHA-256 of the cookie's token
  data   BLOB NOT NULL,
  expiry INTEGER NOT NULL,
  person TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX session_expiry ON session(expiry);

CREATE TABLE api_key (
  id     TEXT PRIMARY KEY,
  name   TEXT NOT NULL,
  hash   BLOB NOT NULL UNIQUE,             -- SHA-256
  prefix TEXT NOT NULL,                    -- its first characters, to recognise it by
  scopes TEXT NOT NULL,                    -- comma-separated
  class  TEXT NOT NULL DEFAULT '',         -- the only class it may send; '' any
  networks TEXT NOT NULL DEFAULT '',       -- CIDRs it may come from, comma-separated; '' any
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL DEFAULT 0,
  last_used_at INTEGER NOT NULL DEFAULT 0,
  revoked_at INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE audit (
  id     INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  who    TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT ''
);

-- +goose Down
SELECT 'Recado does not go back; restore the backup made before the migration';
