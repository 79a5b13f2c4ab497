package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"recado/modem/tty"
	"recado/pool"
	"recado/queue/backup"
	"recado/queue/sqlite"
	"recado/webui"
)

// progress knows whether the parts that must never stand still move.
type progress struct {
	db      *sqlite.DB
	pool    *pool.Pool
	usb     *tty.Discovery // nil without --discover
	started time.Time
	dir     dataDir
	keeper  *backup.Keeper
	// probe is the URL of this process's own health page.
	probe string
}

// stalled is how long the writer or the dispatcher may be without a sign of life. Both give
// one at least every few seconds when idle; a slow SD card may hold a commit for some.
const stalled = 20 * time.Second

// standing says which parts stand still: none when all is well.
func (p *progress) standing() error {
	now := time.Now()
	var errs []error
	if d := now.Sub(p.db.Progress()); d > stalled {
		errs = append(errs, fmt.Errorf("the database has not moved for %s", d.Round(time.Second)))
	}
	// The pool's first round comes a moment after its start.
	if d := min(now.Sub(p.pool.Progress()), now.Sub(p.started)); d > stalled {
		errs = append(errs, fmt.Errorf("the lines have not moved for %s", d.Round(time.Second)))
	}
	return errors.Join(errs...)
}

// check is standing, and whether this process answers itself over HTTP.
func (p *progress) check(ctx context.Context) error {
	if err := p.standing(); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.probe, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("HTTP does not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP answers %s", answer.Status)
	}
	return nil
}

// checks is what /health/ready shows beside its own.
func (p *progress) checks(context.Context) []webui.Check {
	c := webui.Check{Name: "progress", Status: webui.Pass}
	if err := p.standing(); err != nil {
		c.Status, c.Detail = webui.Fail, oneLine(err)
	}
	checks := append([]webui.Check{c}, backupChecks(p.dir, p.keeper)...)
	if p.usb != nil {
		checks = append(checks, usbCheck(p.usb.Sightings(), p.usb.Rivals()))
	}
	return checks
}

const (
	// extendEvery is how often systemd is asked for extendBy more while the database
	// is opened: a migration of a million messages on a slow card, or a restore, takes
	// minutes. Not longer than extendMost, in case it hangs.
	extendEvery = 10 * time.Second
	extendBy    = time.Minute
	extendMost  = time.Hour
)

// extendStart asks systemd for more time to start, until the stop that it returns.
func extendStart() (stop func()) {
	ctx, cancel := context.WithTimeout(context.Background(), extendMost)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(extendEvery)
		defer tick.Stop()
		for {
			_, _ = daemon.SdNotify(false, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extendBy.Microseconds()))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// watch pets systemd's watchdog, as long as there is progress, until the stop that it returns.
// Without a watchdog (no WATCHDOG_USEC) it does nothing.
func (p *progress) watch(log *slog.Logger) (stop func(context.Context) error) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return func(context.Context) error { return nil }
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(interval / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			one, cancelOne := context.WithTimeout(ctx, interval/3)
			err := p.check(one)
			cancelOne()
			switch {
			case ctx.Err() != nil:
				return
			case p.standing() != nil:
				// What stands still for so long will not move again: not waiting for the
				// watchdog's own time too, the program is serving again within 30 s.
				log.Error("no progress, systemd is asked to start recado anew", "error", err)
				_, _ = daemon.SdNotify(false, "WATCHDOG=trigger")
			case err != nil:
				log.Error("no progress, the watchdog is not told otherwise", "error", err)
			default:
				_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
	}()
	return func(context.Context) error {
		cancel()
		<-ended
		return nil
	}
}
