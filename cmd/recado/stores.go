package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"recado/queue"
	"recado/queue/clock"
	"recado/queue/inbox"
	"recado/queue/sqlite"
	"recado/webui/auth"
)

// stores are what an appliance keeps, over one database.
type stores struct {
	db    *sqlite.DB
	queue *queue.Store
	inbox *inbox.Store
	auth  *auth.Store
	// key is what PINs and automatic backups are kept under.
	key []byte
}

// low says that the database's disk is too low for more than what must be.
func (s *stores) low() bool {
	state := s.db.Health().State
	return state == sqlite.HealthLow || state == sqlite.HealthFull
}

// openStores opens the database of a locked data folder, brings its schema up to this
// version's and puts right what an interrupted run left open. with changes the
// queue's options.
func openStores(ctx context.Context, dir dataDir, phones phoneFlag, clock *clock.Clock, log *slog.Logger, metrics prometheus.Registerer, with ...func(*queue.Options)) (*stores, error) {
	// First of all: a restore that was interrupted may bring another key.
	if err := dir.folder(log).Clean(); err != nil {
		return nil, err
	}
	key, err := dir.secret()
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, dir, key, log)
	if errors.Is(err, sqlite.ErrNewer) {
		return nil, fmt.Errorf("%s was written by a newer version: install that version or a later one (this is %s): %w",
			dir.database(), versionText(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir.database(), err)
	}
	if err := dir.logLost(ctx, db, log); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	instance, err := dir.instance(box{})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	registered := &register{Registerer: metrics}
	options := queue.Options{
		Clock: clock, Numbers: queue.NewNumbers(phones.Country, phones.Abroad), Log: log, Key: key,
		Instance: instance,
	}
	if metrics != nil {
		options.Registerer = registered
	}
	for _, set := range with {
		set(&options)
	}
	// Back-offs and windows of before go on by the clock's memory.
	read := func() (*queue.Store, error) {
		if err := clock.Load(ctx, db); err != nil {
			return nil, err
		}
		return queue.New(ctx, db, options)
	}
	messages, err := read()
	if err != nil && sqlite.IsDamage(err) {
		// What rots while the box is off, and is not in the pages that opening reads.
		registered.undo()
		if db, err = recoverDatabase(ctx, dir, key, log, errors.Join(err, db.Close())); err != nil {
			return nil, err
		}
		messages, err = read()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the queue: %w", err), db.Close())
	}
	return &stores{
		db:    db,
		queue: messages,
		inbox: inbox.New(db, messages, inbox.Options{Clock: clock, Log: log}),
		auth:  auth.New(db, clock, auth.Options{Log: log}),
		key:   key,
	}, nil
}

// register remembers what it has registered, for a second try.
type register struct {
	prometheus.Registerer
	list []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (r *register) Register(c prometheus.Collector) error {
	err := r.Registerer.Register(c)
	if err == nil {
		r.list = append(r.list, c)
	}
	return err
}

func (r *register) undo() {
	for _, c := range r.list {
		r.Unregister(c)
	}
	r.list = nil
}
