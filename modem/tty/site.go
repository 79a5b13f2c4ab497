package tty

import (
	"context"
	"errors"
	"time"
)

// site is a place where a modem's ports are, or were.
type site struct {
	group
	device  USBDevice
	present bool
	since   time.Time // when it last changed, or went
	chosen  string    // "" none yet
	lost    bool      // the device is there, the chosen port is not
	imei    string
	probing context.CancelFunc // nil: no port of it is being asked now
	visit   int                // counts its changes: a late answer is of another device
	rounds  int                // fruitless ones
	next    time.Time          // no round before
	mute    time.Time          // since when its modem answers nothing; zero: it does
	hushed  bool               // its other ports were told to be silent, since it last came
	trouble Trouble
}

// round is how the questions to a site's ports ended.
type round struct {
	site   *site
	visit  int
	chosen candidate
	probed probed
	hushed bool // no question: ports were silenced
	err    error
}

// trustAfter is how many fruitless rounds it takes until the port that the
// rules name is believed in although nothing answers there: its modem may hang,
// and people must see that it is there.
const trustAfter = 3

// question asks these ports of a site one after the other which of them speaks
// AT.
func (d *Discovery) question(ctx context.Context, s *site, candidates []candidate) {
	rounds := s.rounds
	d.ask(ctx, s, func(ctx context.Context) round { return d.interview(ctx, candidates, rounds) })
}

// ask talks to ports of a site in a goroutine of its own: to one site at a time.
func (d *Discovery) ask(ctx context.Context, s *site, talk func(context.Context) round) {
	asking, cancel := context.WithCancel(ctx)
	s.probing = cancel
	visit := s.visit
	d.wg.Go(func() {
		defer cancel()
		r := talk(asking)
		r.site, r.visit = s, visit
		select {
		case d.results <- r: // also when it was given up: the ports are free again
		case <-ctx.Done():
		}
	})
}

// interview asks ports in their order; the first that speaks AT is it. While
// another program has one of them none is touched: two programs on one modem
// get each other's answers. rounds are the fruitless ones before: a port that is
// asked for ever is asked with less ado.
func (d *Discovery) interview(ctx context.Context, candidates []candidate, rounds int) round {
	opener, tries := opener, probeTries
	if rounds > 0 {
		opener, tries = d.opened.by, probeAgain
	}
	for _, c := range candidates {
		if busy := d.settings.holderBy(c.device, opener); busy != nil {
			return round{err: busy}
		}
	}
	var errs []error
	for _, c := range candidates {
		p, err := d.settings.probe(ctx, c.device, d.o.Answer, tries)
		if err == nil {
			return round{chosen: c, probed: p}
		}
		if errors.Is(err, ErrBusy) || ctx.Err() != nil {
			return round{err: err}
		}
		errs = append(errs, err)
	}
	return round{err: errors.Join(errs...)}
}

// take draws the conclusion from a round of questions.
func (d *Discovery) take(ctx context.Context, r round) {
	s := r.site
	s.probing = nil
	if d.sites[s.group.name] != s || !s.present || r.visit != s.visit || errors.Is(r.err, context.Canceled) {
		return // it has changed or gone meanwhile
	}
	if r.hushed {
		return
	}
	if s.chosen != "" {
		d.exchange(ctx, s, r)
		return
	}
	if r.err == nil {
		d.choose(ctx, s, r.chosen, r.probed)
		return
	}
	s.rounds++
	s.trouble = TroubleOf(r.err)
	if errors.Is(r.err, ErrBusy) {
		s.rounds = 0
	} else {
		if s.trouble.Code == CodeSilent {
			s.trouble.Says = "none of its ports answers AT (" + s.trouble.Says + ")"
		}
		first := s.candidates[0]
		if s.rounds >= trustAfter && first.listed {
			d.choose(ctx, s, first, probed{})
			return
		}
	}
	// Always the same: a modem behind an adapter that gets its power later comes
	// without any event, and shall be in use soon after.
	s.next = time.Now().Add(d.o.Retry)
}

// choose hands a modem over. When it is one that was in another socket, that
// one is dropped first: nobody shall see it twice.
func (d *Discovery) choose(ctx context.Context, s *site, c candidate, p probed) {
	s.imei = p.imei
	for _, other := range d.sites {
		if other == s || other.chosen == "" || p.imei == "" || d.identity(other) != p.imei {
			continue
		}
		if other.present {
			d.log.Warn("two modems say the same IMEI: they are told apart by their USB sockets", "one", other.group.name, "other", s.group.name)
			continue
		}
		d.log.Info("a modem is in another socket now", "from", other.chosen, "to", c.place.String())
		d.drop(ctx, other)
	}
	found := Found{Name: c.place.String(), USBPath: s.device.Path, IMEI: p.imei}
	if err := d.o.Add(found); err != nil {
		s.trouble = TroubleOf(err)
		s.next = time.Now().Add(d.o.Retry)
		return
	}
	s.chosen, s.trouble = found.Name, Trouble{}
	delete(d.told, s.group.name)
	d.log.Info("a USB modem", "port", found.Name, "device", c.device, "id", s.device.ID(), "listed", c.listed)
}

// elsewhere says that the modem which was last at a site is now at another that
// was known already, and so was not asked.
func (d *Discovery) elsewhere(s *site) bool {
	imei := d.identity(s)
	if imei == "" {
		return false
	}
	for _, other := range d.sites {
		if other != s && other.present && other.chosen != "" && d.identity(other) == imei {
			return true
		}
	}
	return false
}

// identity is the IMEI of the modem at a site, "" when not known.
func (d *Discovery) identity(s *site) string {
	if d.o.IMEI != nil {
		if now := d.o.IMEI(s.chosen); now != "" {
			return now
		}
	}
	return s.imei
}
