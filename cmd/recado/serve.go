package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"recado/cmd/recado/console"
	"recado/modem/emulator"
	"recado/modem/tty"
	"recado/pool"
	"recado/queue"
	"recado/webui"
)

// serveCmd is `recado serve`.
type serveCmd struct {
	configFlag
	dataFlag
	phoneFlag
	actuatorFlags
	backupFlags
	webhookFlags
	Listen     string   `default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address of the pages and the API; 0.0.0.0:8080 opens them to the LAN (${default})."`
	Modem      []string `placeholder:"PORT" help:"A modem's port: /dev/…, usb:PATH:INTERFACE, a pty, or tcp:HOST:PORT. Repeat for more."`
	Discover   bool     `help:"Find USB modems by themselves, and follow them as they come and go."`
	Emulate    int      `placeholder:"N" help:"Add N emulated modems on an emulated network."`
	OpenLimits bool     `help:"No limits, paces, quiet hours or send windows of SIMs, for measuring."`
	TrustClock bool     `help:"Take the system clock as right from the start."`
	IgnoreNTP  bool     `help:"Do not believe the system when it says that NTP has set its clock."`
	Host       []string `placeholder:"NAME" help:"Another name under which browsers may ask for this box."`
	LogLevel   string   `default:"info" enum:"debug,info,warn,error" help:"How much to log: debug, info, warn, error."`
}

// Run is kong's entry.
func (c *serveCmd) Run(ctx context.Context, t terminal, cut hurry) error {
	if c.Emulate < 0 || c.Emulate > 256 {
		return usagef("--emulate %d: give a number from 0 to 256", c.Emulate)
	}
	if err := c.actuatorFlags.check(); err != nil {
		return err
	}
	if err := c.backupFlags.check(); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return usagef("--log-level: %w", err)
	}
	return serve(ctx, cut, t, c, level)
}

const (
	// answerBound is how long an orderly stop waits for the network's answers to submissions
	// in flight; stopBound is for the whole of it.
	answerBound = 30 * time.Second
	stopBound   = 40 * time.Second
)

// serve runs the appliance until ctx ends, then stops it in order; cut gives up waiting.
// It is one long function because the order of its parts is what it says: each is
// started after what it needs, and stopped before it.
func serve(ctx, cut context.Context, t terminal, c *serveCmd, level slog.Level) (err error) {
	started := time.Now()
	book := newLogbook()
	log := newLogger(t.Err, book, level)
	if err := limitProcess(); err != nil {
		return err
	}

	down := &teardown{log: log}
	defer func() {
		bound, cancel := context.WithTimeout(cut, stopBound)
		defer cancel()
		err = errors.Join(err, down.run(bound))
	}()
	parts := newRunners()

	// The lock, the database, what is kept in it.
	dir := dataDir(c.Data)
	if err := dir.create(); err != nil {
		return err
	}
	lock, err := dir.lock()
	if err != nil {
		return err
	}
	down.add("lock", func(context.Context) error { return lock.Close() })

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	clock := c.clock(log)
	opened := extendStart()
	kept, err := openStores(ctx, dir, c.phoneFlag, clock, log, registry, func(o *queue.Options) { o.OpenLimits = c.OpenLimits })
	opened()
	if err != nil {
		return err
	}
	down.add("database", func(context.Context) error { return kept.db.Close() })
	timing, stopTiming := context.WithCancel(context.WithoutCancel(ctx))
	timed := parts.start("the clock", func() error { return clock.Run(timing) })
	down.add("clock", func(bound context.Context) error {
		stopTiming()
		return await(bound, timed, 4*time.Second)
	})
	keeper, err := c.backupFlags.keeper(dir, kept, clock, log)
	if err != nil {
		return err
	}
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	ended := parts.start("the automatic backups", func() error { return keeper.Run(keeping) })
	down.add("automatic backups", func(bound context.Context) error {
		stopKeeping()
		return await(bound, ended, 3*time.Second)
	})

	// The modems.
	lines := pool.New(pool.Options{
		Store: kept.queue, Inbox: kept.inbox, Clock: clock, Log: log, Registerer: registry, Evidence: clock,
		OpenLimits: c.OpenLimits,
	})
	if c.OpenLimits && (len(c.Modem) > 0 || c.Discover) {
		log.Warn("--open-limits: nothing keeps a SIM within its contract; operators block SIMs for less")
	}
	recovery := actuators{actuatorFlags: c.actuatorFlags, log: log}
	network, err := addModems(lines, c, recovery, dir, down)
	if err != nil {
		return err
	}
	poolContext, stopPool := context.WithCancel(context.WithoutCancel(ctx))
	stopped := parts.start("the modems' care", func() error { return lines.Run(poolContext) })
	down.add("ports", func(bound context.Context) error {
		stopPool()
		return await(bound, stopped, 3*time.Second)
	})
	down.add("submissions in flight", func(bound context.Context) error { return drain(bound, lines, log) })
	var usb *tty.Discovery
	if c.Discover {
		usb = discovery(lines, recovery, tty.DiscoveryOptions{Named: c.Modem, Log: log})
		searchContext, stopSearch := context.WithCancel(poolContext)
		searched := parts.start("the search for modems", func() error { return usb.Run(searchContext) })
		down.add("search for modems", func(bound context.Context) error {
			stopSearch()
			return await(bound, searched, 3*time.Second)
		})
	} else if len(c.Modem) > 0 {
		for _, r := range (tty.Tree{}).Rivals() {
			log.Warn("another program wants the modems", "what", r.String())
		}
	}

	// Other programs are told what happens.
	hooks, err := c.outbox(ctx, kept, clock, log, registry)
	if err != nil {
		return fmt.Errorf("prepare webhooks: %w", err)
	}
	telling, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	told := parts.start("webhooks", func() error { return hooks.Run(telling) })
	down.add("webhooks", func(bound context.Context) error {
		stopTelling()
		return await(bound, told, 7*time.Second)
	})

	// The pages and the API, for the LAN and for the local socket.
	listener, err := listen(c.Listen)
	if err != nil {
		return err
	}
	addresses := urls(listener.Addr())
	check := &progress{db: kept.db, pool: lines, usb: usb, started: started, dir: dir, keeper: keeper}
	seen := &ward{pool: lines, db: kept.db, dir: dir, book: book, named: c.Modem, usb: usb, check: check, started: started, keeper: keeper, hooks: hooks}
	options := webui.Options{
		Store: kept.queue, Inbox: kept.inbox, Pool: lines, Auth: kept.auth,
		Clock: clock, Log: log, Registry: registry, Version: versionText(),
		Hosts: c.Host, Checks: check.checks, Started: started, Storage: dir.room, Findings: seen.beside, Webhooks: hooks,
		Care: dir.care(kept, clock, keeper),
		Bundle: func(ctx context.Context, out io.Writer) error {
			return seen.supportBundle(ctx, out, c.configFlag, c.TrustClock)
		},
	}
	if network != nil {
		options.Emulator = func(_ context.Context, sim, from, text string) error { return network.Inbound(sim, from, text) }
	}
	web, err := webui.New(options)
	if err != nil {
		return errors.Join(fmt.Errorf("prepare the pages: %w", err), listener.Close())
	}
	front := newFront(web.HTTP(web.Handler()))
	parts.start("HTTP", func() error { return front.serve(listener) })

	local := &control{auth: kept.auth, pool: lines, book: book, ward: seen, info: func(r *http.Request) (console.Info, error) {
		code, _, err := kept.auth.Setup(r.Context())
		return console.Info{Version: versionText(), Host: hostname(), Addresses: urls(listener.Addr()), PID: os.Getpid(),
			Started: started, SetupCode: code, Paused: lines.Paused(), ClockTrusted: clock.Trusted()}, err
	}}
	back := newFront(web.HTTP(local.handler(web.Local())))
	socket, err := listenSocket(dir)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	parts.start("the control socket", func() error { return back.serve(socket) })
	down.add("HTTP", func(bound context.Context) error {
		return errors.Join(front.stop(bound), back.stop(bound))
	})

	// Ready.
	code, needed, err := kept.auth.Setup(ctx)
	if err != nil {
		return fmt.Errorf("prepare the first sign-in: %w", err)
	}
	announce(t.Out, addresses, code, needed)
	log.Info("ready", "version", versionText(), "listen", listener.Addr().String(), "modems", len(c.Modem)+c.Emulate)
	if len(c.Modem)+c.Emulate == 0 && !c.Discover {
		log.Warn("no modem is named: messages are queued until recado is started with --discover, --modem PORT or --emulate N")
	}
	check.probe = probeURL(listener.Addr())
	down.add("watchdog", check.watch(log))
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("systemd could not be told that all is ready", "error", err)
	}

	trim()
	again := time.AfterFunc(trimAfter, trim)
	defer again.Stop()
	select {
	case <-ctx.Done():
		log.Info("stopping", "because", context.Cause(ctx))
	case err = <-parts.failed:
		log.Error("stopping", "because", err)
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	parts.stopping()
	return err
}

// announce prints what a person needs to begin: scripts read these lines.
func announce(w io.Writer, addresses []string, code string, needed bool) {
	fmt.Fprintf(w, "Recado %s\n", versionText())
	for _, url := range addresses {
		fmt.Fprintf(w, "Open %s\n", url)
	}
	if needed {
		fmt.Fprintf(w, "Setup code: %s\n", code)
	}
}

// emulatedLatency of --emulate is about that of LTE: there is time to watch a
// message go through its states.
const emulatedLatency = 400 * time.Millisecond

// addModems puts every port that was named into the pool, and the emulated network behind
// --emulate, which it returns (nil without).
func addModems(lines *pool.Pool, c *serveCmd, recovery actuators, dir dataDir, down *teardown) (*emulator.Network, error) {
	for _, name := range c.Modem {
		open := func(ctx context.Context) (io.ReadWriteCloser, error) { return tty.Open(ctx, name) }
		port := pool.Port{Name: name, Open: open}
		recovery.fit(&port)
		if err := lines.Add(port); err != nil {
			return nil, usageError{err}
		}
	}
	if c.Emulate == 0 {
		return nil, nil
	}
	ledger, err := os.OpenFile(dir.ledger(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the emulated network's ledger: %w", err)
	}
	network := emulator.NewNetwork(emulator.NetworkOptions{
		Ledger: ledger, Latency: emulatedLatency, LatencySigma: 0.3, ReportDelay: 1500 * time.Millisecond,
	})
	down.add("emulated network", func(context.Context) error {
		return errors.Join(network.Close(), ledger.Close())
	})
	for i := range c.Emulate {
		m := network.AddModem(emulator.ModemOptions{})
		port := pool.Port{Name: fmt.Sprintf("emulated:%d", i), Open: m.Open, Emulated: true, Submission: emulatedLatency}
		if err := lines.Add(port); err != nil {
			return nil, err
		}
	}
	return network, nil
}

// drain stops claiming and waits for the network's answers to what is on its way, saying so.
func drain(bound context.Context, lines *pool.Pool, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(bound, answerBound)
	defer cancel()
	said := make(chan struct{})
	go func() {
		defer close(said)
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for n := lines.InFlight(); n > 0; n = lines.InFlight() {
			log.Info("waiting for the network's answers; a second signal gives them up", "submissions", n)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	err := lines.Drain(ctx)
	cancel()
	<-said
	return err
}

// runners are the parts that run until they are told to stop. One that ends by itself, with
// or without an error, is a failure of the whole.
type runners struct {
	failed chan error
	mu     sync.Mutex
	over   bool
}

func newRunners() *runners { return &runners{failed: make(chan error, 1)} }

// start runs a part; the channel closes when it has ended.
func (r *runners) start(name string, run func() error) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := run()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.over {
			return
		}
		if err == nil {
			err = errors.New("it returned")
		}
		select {
		case r.failed <- fmt.Errorf("%s ended by itself: %w", name, err):
		default:
		}
	}()
	return ended
}

// stopping says that from now on ending is what parts should do.
func (r *runners) stopping() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

// await waits for a part to end, as long as bound lasts and a little longer.
func await(bound context.Context, ended <-chan struct{}, grace time.Duration) error {
	select {
	case <-ended:
		return nil
	case <-bound.Done():
	}
	select {
	case <-ended:
		return nil
	case <-time.After(grace):
		return errors.New("did not end in time")
	}
}
