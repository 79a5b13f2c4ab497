package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// teardown is what has been started, in order. Each part adds its stop right after it was
// made; run stops them the other way round.
type teardown struct {
	stops []namedStop
	log   *slog.Logger
}

type namedStop struct {
	name string
	stop func(context.Context) error
}

// add registers a stop. It must return soon after its context ends.
func (t *teardown) add(name string, stop func(context.Context) error) {
	t.stops = append(t.stops, namedStop{name, stop})
}

// run stops everything, newest first, whatever fails on the way. ctx bounds the whole: when it
// ends, the stops that are left are still called, with a context that is over, so that they
// close without waiting.
func (t *teardown) run(ctx context.Context) error {
	var errs []error
	for _, s := range slices.Backward(t.stops) {
		began := time.Now()
		if err := s.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", s.name, err))
		}
		t.log.Debug("stopped", "part", s.name, "took", time.Since(began).Round(time.Millisecond))
	}
	t.stops = nil
	return errors.Join(errs...)
}
