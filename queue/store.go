package queue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"recado/queue/sqlite"
)

// Options for New.
type Options struct {
	// Clock; nil is the system's clock, trusted.
	Clock Clock
	// Numbers normalises recipients; nil is NewNumbers("ES", false).
	Numbers *Numbers
	// BootID names this run of the program in attempts; "" makes one.
	BootID string
	// Key (KeySize octets) is what PINs are kept under: see CodeTried and
	// RememberedPIN. Without one they are remembered for this run only.
	Key []byte
	// Instance is what the box is: a component's name and its value, "" or absent
	// when unknown. A database that knows another value is a copy, or is on
	// another box: everything in it that is not final is held. nil: not compared.
	Instance map[string]string
	// OpenLimits: no SIM has any limit; what is sent is counted all the same.
	OpenLimits bool
	Log        *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

// Store keeps the messages on their way out. Its methods may be called by any
// goroutine; it starts none of its own.
type Store struct {
	db      *sqlite.DB
	clock   Clock
	numbers *Numbers
	boot    string
	codes   *codeKeys
	log     *slog.Logger
	metrics *metrics
	rate    *rate
	usage   *usage
	ready   atomic.Pointer[func()]
	proof   atomic.Pointer[func(attempt int64)]
	holding atomic.Bool // by HoldAll: nothing is claimed meanwhile
	// turns and joined count the commits of readied, of accepted; blind has the
	// ICCIDs of which unseen has told; rounds are of behind, of the writer's goroutine.
	turns, joined atomic.Int64
	blind         sync.Map
	rounds        map[roundOf]round
	moves         atomic.Int64 // the turns that name no message
	over          over

	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
	tidied   int64     // by Wake, the steady clock
	keptAt   time.Time // by Wake: when nothing was due any more
	codesAt  int64     // by Wake: when no code was due any more, the steady clock
	scrub    scrub
	sweeping sweep
	dated    dated // by Wake
	// redateFor and holdSays are what they are called; less in tests.
	redateFor, holdSays time.Duration

	following following // by Wake
	routes    routes
	unheld    []claim // by FreeClaims, the last time

	canaries flock
	counts   counts // by Backlog
}

// New makes the Store over an open database and puts right what the last run
// left: claims are cleared, and attempts whose answer it did not live to see
// become uncertain. After a restore and on a copied card it first holds what is
// not final (see MarkRestored, Options.Instance).
func New(ctx context.Context, db *sqlite.DB, o Options) (*Store, error) {
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Numbers == nil {
		o.Numbers = NewNumbers("ES", false)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.BootID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("name this run: %w", err)
		}
		o.BootID = id.String()
	}
	s := &Store{db: db, clock: o.Clock, numbers: o.Numbers, boot: o.BootID, log: o.Log,
		watchers: map[chan struct{}]struct{}{}, usage: newUsage(o.OpenLimits), redateFor: redateFor, holdSays: holdSays}
	var err error
	if s.codes, err = newCodeKeys(o.Key); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("register the queue's metrics: %w", err)
	}
	if o.Registerer != nil {
		if err := db.Metrics(o.Registerer); err != nil {
			return nil, fmt.Errorf("register the database's metrics: %w", err)
		}
	}
	if s.rate, err = loadRate(ctx, db, s.instant()); err != nil {
		return nil, fmt.Errorf("count what was sent: %w", err)
	}
	if err := s.loadRoutes(ctx); err != nil {
		return nil, err
	}
	restored, err := s.isRestored(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.holdAtStart(ctx, o.Instance); err != nil {
		return nil, fmt.Errorf("hold what must not be sent: %w", err)
	}
	if err := s.shortenWaits(ctx); err != nil {
		return nil, fmt.Errorf("recover the queue: %w", err)
	}
	if err := s.startRoutes(ctx, restored); err != nil {
		return nil, fmt.Errorf("put messages where the routes say: %w", err)
	}
	if err := s.loadCanaries(ctx); err != nil {
		return nil, err
	}
	if err := s.recover(ctx); err != nil {
		return nil, fmt.Errorf("recover the queue: %w", err)
	}
	db.OnReopen(func(context.Context) error { s.usage.forget(); return nil })
	return s, nil
}

// Numbers that the Store normalises recipients with.
func (s *Store) Numbers() *Numbers { return s.numbers }

// OnReady sets the function called after each commit that made a message
// claimable or gave Wake something new to look at. It is called on the
// writer's goroutine and must not block.
func (s *Store) OnReady(f func()) { s.ready.Store(&f) }

// OnProved sets the function called after each commit in which a status report
// showed that an attempt whose answer was lost (see Gate) had been accepted. It
// is called on the writer's goroutine and must not block.
func (s *Store) OnProved(f func(attempt int64)) { s.proof.Store(&f) }

// Watch gives a hint after every commit that changed a message or added an
// event: read Events and what is shown anew. Hints coalesce. The function ends
// the watch.
func (s *Store) Watch() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	s.watchers[c] = struct{}{}
	s.mu.Unlock()
	return c, func() {
		s.mu.Lock()
		delete(s.watchers, c)
		s.mu.Unlock()
	}
}

// changed is called after commits.
func (s *Store) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// readied is called after commits that let a message come back, or that change who
// may send one.
func (s *Store) readied() {
	s.moves.Add(1)
	s.cameBack()
}

// cameBack is readied for a message of which returned knows.
func (s *Store) cameBack() {
	s.turns.Add(1)
	s.kick()
}

// accepted is called after commits of new messages.
func (s *Store) accepted() {
	s.joined.Add(1)
	s.kick()
}

func (s *Store) kick() {
	if f := s.ready.Load(); f != nil {
		(*f)()
	}
	s.changed()
}

// Setting reads a setting; "" when it was never set.
func (s *Store) Setting(ctx context.Context, key string) (string, error) {
	return s.setting(ctx, key)
}

// SetSetting keeps a setting.
func (s *Store) SetSetting(ctx context.Context, key, value string) error {
	return s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
		return err
	})
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }
func (systemClock) Trusted() bool  { return true }

// ms is a time as the schema keeps it; 0 for the zero time.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// maxMS is the end of the year 9999.
const maxMS = 253402300799999

// at is ms undone.
func at(ms int64) time.Time {
	// Years before 1970 and of five digits are a damaged row's: no clock gave
	// them, and JSON has no way to write them (RFC 3339).
	if ms <= 0 || ms > maxMS {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
