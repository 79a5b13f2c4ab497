package tty

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Found is a modem that Discovery found.
type Found struct {
	// Name of its AT port, usb:1-1.2:2: it is Open's, and stays the same while
	// the modem is in this socket.
	Name string
	// USBPath of the device: "1-1.2".
	USBPath string
	// IMEI is what it answered to AT+CGSN when it was found; "" when nothing,
	// or zeros.
	IMEI string
}

// DiscoveryOptions of NewDiscovery. Add and Remove are needed.
type DiscoveryOptions struct {
	// Add takes a modem that was found; Remove drops it by its name, and
	// returns when its port is closed. Both are called from Run's goroutine.
	Add    func(Found) error
	Remove func(ctx context.Context, name string) error
	// IMEI tells what the modem on a port that was added says it is now; "" when
	// not known. nil: what it said when it was found is believed.
	IMEI func(name string) string
	// Mute says that the modem on a port that was added answers nothing; nil:
	// nobody knows. Another of its ports is looked for then, after Patience.
	Mute func(name string) bool
	// Rules say which ports of known modems are for AT.
	Rules []PortRule
	// Named are the ports that an operator named: their devices are left alone.
	Named []string
	Log   *slog.Logger // nil: none

	// Tree is where to look; the running system when zero.
	Tree Tree
	// LockDir is where the lock files are; /run/lock when "".
	LockDir string
	// Events opens the source of hints that something was plugged in or out,
	// one event a Read; the kernel's when nil.
	Events func() (io.ReadCloser, error)
	// Rescan is how often to look without a hint; 10 s when 0.
	Rescan time.Duration
	// Settle is how long a device must have stayed as it is before it is
	// touched: its ports come one by one. 2 s when 0, negative for none. Ten times
	// that is waited for the port that the rules give for AT, when its interface
	// is there and only the port is not.
	Settle time.Duration
	// Answer is how long a port may take for one answer; 1 s when 0.
	Answer time.Duration
	// Retry is the pause after a round in which no port answered, and how long a
	// port that was chosen may be missing from its device; 10 s when 0.
	Retry time.Duration
	// Patience is how long a modem must have been mute before its other ports are
	// asked; 2 min when 0, which is longer than a restart takes.
	Patience time.Duration
	// Forget is how long a modem may be away before it is dropped; 10 min when 0.
	Forget time.Duration
}

// Sighting is a USB device that concerns people: a modem, or what could be one.
type Sighting struct {
	Device USBDevice
	// Name of the port that was chosen; "" when none.
	Name string
	// Trouble says in plain words why it is not in use, or what is the matter
	// although it is; none when all is well, or when it has just come.
	Trouble Trouble
}

// Discovery finds USB modems and follows them as they come and go.
type Discovery struct {
	o        DiscoveryOptions
	settings settings
	log      *slog.Logger

	// Owned by Run's goroutine.
	sites map[string]*site // by the name of their group
	// beside are the modems whose ports an operator named, by the name of their
	// group: only their other ports are of concern, to be silenced.
	beside map[string]*site
	told   map[string]string
	// odd is since when devices have been unusable, by path: one that is about
	// to be switched from disk to modem is no trouble yet.
	odd   map[string]time.Time
	asked time.Time // when Rivals was last asked for
	// shared are the other programs that have our ports open too, by device, as of
	// sharedAt.
	shared   map[string]*BusyError
	sharedAt time.Time
	results  chan round
	opened   openers
	wg       sync.WaitGroup

	mu     sync.Mutex // guards what follows
	sight  []Sighting
	rivals []Rival
}

// NewDiscovery makes a discovery; nothing happens before Run.
func NewDiscovery(o DiscoveryOptions) *Discovery {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.Rescan = cmp.Or(o.Rescan, 10*time.Second)
	o.Settle = cmp.Or(o.Settle, 2*time.Second)
	o.Answer = cmp.Or(o.Answer, time.Second)
	o.Retry = cmp.Or(o.Retry, 10*time.Second)
	o.Patience = cmp.Or(o.Patience, 2*time.Minute)
	o.Forget = cmp.Or(o.Forget, 10*time.Minute)
	if o.Events == nil {
		o.Events = openUevents
	}
	s := system()
	s.lockDir = cmp.Or(o.LockDir, s.lockDir)
	return &Discovery{
		o: o, settings: s, log: o.Log,
		sites: map[string]*site{}, beside: map[string]*site{}, told: map[string]string{}, odd: map[string]time.Time{}, results: make(chan round),
	}
}

// Open opens the port of a modem that was found, whatever it is called now.
func (d *Discovery) Open(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	return d.settings.openUSB(ctx, d.o.Tree, name)
}

// Sightings are the modems on the USB bus as they were at the last look, and
// what is wrong with those that are not in use.
func (d *Discovery) Sightings() []Sighting {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.sight)
}

// Rivals are the programs that take modems for themselves, as of at most a
// rescan ago.
func (d *Discovery) Rivals() []Rival {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rivals)
}

// Run looks for modems until ctx ends: at every hint of the kernel, and every
// ten seconds. It waits for what it started, and returns ctx's error.
func (d *Discovery) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer d.wg.Wait()
	defer stop()
	hints := make(chan struct{}, 1)
	hint := func() {
		select {
		case hints <- struct{}{}:
		default:
		}
	}
	d.wg.Go(func() { d.follow(ctx, hint) })
	for ctx.Err() == nil {
		wait := d.look(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-hints:
		case r := <-d.results:
			d.take(ctx, r)
		case <-timer.C:
		}
		timer.Stop()
	}
	return ctx.Err()
}

// follow listens to events, and opens their source again when it ends.
func (d *Discovery) follow(ctx context.Context, hint func()) {
	for ctx.Err() == nil {
		events, err := d.o.Events()
		if err == nil {
			hint() // what came meanwhile was not announced
			err = hearken(ctx, events, hint)
		}
		if ctx.Err() != nil {
			return
		}
		d.log.Warn("USB modems that come and go are only noticed by looking now and then", "error", err, "every", d.o.Rescan)
		again := time.NewTimer(d.o.Rescan)
		select {
		case <-ctx.Done():
		case <-again.C:
		}
		again.Stop()
	}
}

// look compares what is plugged in with what was known, starts questions where
// they are due, and says when to look again at the latest.
func (d *Discovery) look(ctx context.Context) (wait time.Duration) {
	now := time.Now()
	d.watchRivals(now)
	d.watchShared(now)
	devices, err := d.o.Tree.USBDevices()
	if err != nil && !absent(err) { // without a USB bus there is nothing to find
		d.tell("", TroubleOf(err))
		return d.o.Rescan
	}
	named := d.named()
	consoles := d.o.Tree.consoles()
	wait = d.o.Rescan
	here, seen, beside := map[string]bool{}, map[string]bool{"": true}, map[string]bool{}
	var sight []Sighting
	for _, dev := range devices {
		if trouble := Diagnose(dev); !trouble.None() {
			seen[dev.Path] = true
			if _, known := d.odd[dev.Path]; !known {
				d.odd[dev.Path] = now
			}
			if due := d.odd[dev.Path].Add(5 * max(d.o.Settle, 0)).Sub(now); due > 0 {
				wait = min(wait, due)
			} else {
				d.tell(dev.Path, trouble)
				sight = append(sight, Sighting{Device: dev, Trouble: trouble})
			}
		}
		for _, g := range groups(dev, d.o.Rules) {
			g.candidates = slices.DeleteFunc(g.candidates, func(c candidate) bool { return slices.Contains(consoles, c.device) })
			if len(g.candidates) == 0 {
				continue
			}
			if slices.ContainsFunc(g.candidates, func(c candidate) bool { return named[resolved(c.device)] }) {
				beside[g.name] = true
				wait = min(wait, d.besideNamed(ctx, g, dev, named, now))
				continue
			}
			here[g.name], seen[g.name] = true, true
			d.see(ctx, g, dev, now)
		}
	}
	for name, s := range d.sites {
		if !here[name] {
			d.miss(s, now)
			if s.chosen == "" {
				if s.probing == nil {
					delete(d.sites, name)
				}
			} else if now.Sub(s.since) >= d.o.Forget || d.elsewhere(s) {
				d.drop(ctx, s)
			} else {
				wait = min(wait, d.o.Forget-now.Sub(s.since))
			}
			continue
		}
		if s.lost && now.Sub(s.since) >= d.o.Retry {
			d.drop(ctx, s) // it shows other ports for good: looked at afresh at once
			wait = 0
			continue
		}
		switch {
		case s.chosen != "" && !s.lost:
			wait = min(wait, d.mind(ctx, s, now))
			if s.trouble.None() {
				s.trouble = d.sharing(s)
			}
		case s.chosen == "" && s.probing == nil:
			settle := max(d.o.Settle, 0)
			if s.early {
				settle *= 10
			}
			due := max(s.since.Add(settle).Sub(now), s.next.Sub(now))
			if due <= 0 {
				d.question(ctx, s, slices.Clone(s.candidates))
			} else {
				wait = min(wait, due)
			}
		}
		if !s.trouble.None() {
			d.tell(name, s.trouble)
		} else {
			delete(d.told, name)
		}
		sight = append(sight, Sighting{Device: s.device, Name: s.chosen, Trouble: s.trouble})
	}
	slices.SortFunc(sight, func(a, b Sighting) int {
		return cmp.Or(strings.Compare(a.Device.Path, b.Device.Path), strings.Compare(a.Name, b.Name))
	})
	maps.DeleteFunc(d.beside, func(name string, s *site) bool {
		if !beside[name] {
			d.cancel(s)
		}
		return !beside[name]
	})
	maps.DeleteFunc(d.told, func(about, _ string) bool { return !seen[about] })
	maps.DeleteFunc(d.odd, func(path string, _ time.Time) bool { return !seen[path] })
	d.mu.Lock()
	d.sight = sight
	d.mu.Unlock()
	return wait
}

// watchRivals looks every rescan for programs that take modems for themselves.
func (d *Discovery) watchRivals(now time.Time) {
	if !d.asked.IsZero() && now.Sub(d.asked) < d.o.Rescan {
		return
	}
	d.asked = now
	rivals := d.o.Tree.Rivals()
	d.mu.Lock()
	was := d.rivals
	d.rivals = rivals
	d.mu.Unlock()
	for _, r := range rivals {
		if !slices.Contains(was, r) {
			d.log.Warn("another program wants the modems", "what", r.String())
		}
	}
}

// see notes a group of ports that is there.
func (d *Discovery) see(ctx context.Context, g group, dev USBDevice, now time.Time) {
	s := d.sites[g.name]
	switch {
	case s == nil:
		s = &site{since: now}
		d.sites[g.name] = s
		d.log.Info("a USB device with serial ports", "usb", dev.Path, "id", dev.ID(), "ports", len(g.candidates))
	case s.device.ID() != dev.ID():
		// Another device in this socket.
		d.cancel(s)
		if s.chosen != "" {
			d.drop(ctx, s)
		}
		s = &site{since: now}
		d.sites[g.name] = s
	case !s.present || s.device.Number != dev.Number:
		// Back, or another of its kind: whoever opens the port sees which.
		d.cancel(s)
		s.since, s.next, s.rounds, s.imei, s.trouble = now, time.Time{}, 0, "", Trouble{}
		s.mute, s.hushed = time.Time{}, false
	case !samePorts(s.candidates, g.candidates):
		d.cancel(s)
		s.since, s.next, s.hushed = now, time.Time{}, false // its ports are still coming
	}
	s.group, s.device, s.present = g, dev, true
	if s.chosen != "" {
		s.trouble = Trouble{}
		s.lost = !slices.ContainsFunc(g.candidates, func(c candidate) bool { return c.place.String() == s.chosen })
		if s.lost {
			s.trouble = Trouble{CodeMoved, "its port " + s.chosen + " is not there", "wait a few seconds: it is looked for anew"}
		}
	}
}

// miss notes that a group of ports is not there.
func (d *Discovery) miss(s *site, now time.Time) {
	d.cancel(s)
	if s.present {
		s.present, s.since = false, now
		d.log.Info("a USB modem went away", "usb", s.device.Path, "id", s.device.ID())
	}
}

// cancel gives up the questions to a site, which has changed. Their result is
// still taken, and thrown away.
func (d *Discovery) cancel(s *site) {
	s.visit++
	if s.probing != nil {
		s.probing()
	}
}

// drop forgets a site and the modem there.
func (d *Discovery) drop(ctx context.Context, s *site) {
	d.cancel(s)
	d.remove(ctx, s.chosen)
	delete(d.sites, s.group.name)
}

// remove gives a modem up, by its port's name.
func (d *Discovery) remove(ctx context.Context, name string) {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := d.o.Remove(limited, name); err != nil && ctx.Err() == nil {
		d.log.Warn("dropping a modem", "port", name, "error", err)
	}
}

// named are the ports that an operator named, by their paths now.
func (d *Discovery) named() map[string]bool {
	list := map[string]bool{}
	for _, name := range d.o.Named {
		if strings.HasPrefix(name, usbPrefix) {
			p, err := parsePlace(name)
			if err == nil {
				name, err = d.o.Tree.device(p)
			}
			if err != nil {
				continue
			}
		}
		list[resolved(name)] = true
	}
	return list
}

// resolved follows symbolic links where there are any.
func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// tell logs trouble once, until it changes.
func (d *Discovery) tell(about string, trouble Trouble) {
	if d.told[about] != trouble.String() {
		d.told[about] = trouble.String()
		d.log.Warn("trouble with a USB modem", "usb", about, "code", trouble.Code, "trouble", trouble.String())
	}
}
