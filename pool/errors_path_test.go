package pool

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/at"
	"recado/modem/emulator"
	"recado/modem/family"
	"recado/modem/pdu"
	"recado/modem/tty"
)

// The emulated network refuses with +CMS ERROR only; a number from cmeFrom on
// comes out as +CME ERROR, one from cmsFrom on as +CMS ERROR with any number.
const cmsFrom, cmeFrom = 100000, 200000

var coded = regexp.MustCompile(`\+CMS ERROR: ([12])(\d{5})\r`)

// wire is a port that turns those numbers into codes, and listens.
type wire struct {
	io.ReadWriteCloser
	mu  sync.Mutex
	out bytes.Buffer
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.ReadWriteCloser.Read(p)
	if m := coded.FindSubmatchIndex(p[:n]); m != nil {
		var code int
		fmt.Sscanf(string(p[m[4]:m[5]]), "%d", &code)
		kind := map[byte]string{'1': "CMS", '2': "CME"}[p[m[2]]]
		line := fmt.Appendf(nil, "+%s ERROR: %d\r", kind, code)
		n = copy(p, slices.Concat(p[:m[0]], line, p[m[1]:n]))
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.out.Write(p)
	w.mu.Unlock()
	return w.ReadWriteCloser.Write(p)
}

func (w *wire) wrote() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

// nowhere is a sink that keeps nothing.
type nowhere struct{}

func (nowhere) Store(context.Context, modem.Received) error { return nil }
func (nowhere) Changed(modem.Snapshot)                      {}

// signs are the commands that show what a modem was made to do.
var signs = []struct{ next, command string }{
	{"reset", "AT+CFUN=1,1"}, {"reset", "AT+CFUN=16"}, {"reset", "AT!RESET"}, {"reset", "AT^RESET"},
	{"sim", "AT+CPIN?"}, {"setup", "AT+CMGF=0"}, {"register", "AT+CREG?"}, {"sweep", "AT+CMGL="},
}

// refuse has an emulated modem of the family refuse one message with the code,
// and gives the outcome and what the modem did next.
func refuse(t *testing.T, make string, kind string, code int, before bool) (o modem.Outcome, next string) {
	synctest.Test(t, func(t *testing.T) {
		net := emulator.NewNetwork(emulator.NetworkOptions{})
		em := net.AddModem(emulator.ModemOptions{Family: make, BootTime: time.Millisecond})
		w := &wire{}
		m := modem.New(modem.Config{Name: "emulated:1", Sink: nowhere{}, Settle: -1, Open: func(ctx context.Context) (io.ReadWriteCloser, error) {
			p, err := em.Open(ctx)
			if err != nil {
				return nil, err
			}
			w.ReadWriteCloser = tty.Guard(p, tty.GuardOptions{})
			return w, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = m.Run(ctx) })
		defer wg.Wait()
		defer net.Close()
		defer wg.Wait()
		defer cancel()
		state := func(want modem.State) {
			t.Helper()
			for start := time.Now(); m.Snapshot().State != want; time.Sleep(50 * time.Millisecond) {
				require.Less(t, time.Since(start), 3*time.Minute, "%s: %+v", want, m.Snapshot())
			}
		}
		state(modem.StateReady)
		time.Sleep(8 * time.Second) // the first sweeps
		synctest.Wait()
		number := code + map[string]int{"cms": cmsFrom, "cme": cmeFrom}[kind]
		fault := emulator.FaultCMSRefused
		if before {
			fault = emulator.FaultCMSBeforePrompt
		}
		em.Inject(emulator.Fault{Kind: fault, Code: number})
		segments, err := pdu.Encode("+34600111222", "hola", pdu.Options{})
		require.NoError(t, err)
		was := len(w.wrote())
		o = m.Send(ctx, segments[0].TPDU, func() error { return nil })
		if o.Verdict != modem.Accepted {
			require.Equal(t, fmt.Sprintf("%s_%d", kind, code), o.Code, "%+v", o)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		_, said, _ := strings.Cut(w.wrote()[was:], "AT+CMGS=") // AT+CMGF=0 goes before it
		next = "-"
		for _, s := range signs {
			if strings.Contains(said, s.command) {
				next = s.next
				break
			}
		}
		if m.Snapshot().State == modem.StateFault {
			next = "fault"
		}
	})
	return o, next
}

// TestEveryCodeThroughTheModem: an emulated modem refuses a message with each
// code of the table, before the prompt and after the PDU. What Send returns,
// what the pool decides and what the modem does next is the table's.
func TestEveryCodeThroughTheModem(t *testing.T) {
	t.Parallel()
	list, rules := readErrors(t)
	profiles := map[string]string{"siemens": "siemens", "simcom-2g": "simcom800", "quectel": "quectel", "quectel-2g": "quectel-2g",
		"quectel-iot": "quectel-iot", "quectel-ec200a": "quectel-ec200a", "wavecom": "wavecom"}
	for _, e := range list {
		makes := []string{"generic"}
		if e.families != "" {
			makes = strings.Split(strings.Trim(e.families, ","), ",")
		}
		codes := []int{e.from}
		if e.to > e.from {
			codes = append(codes, e.to)
		}
		for _, make := range makes {
			if make != "generic" {
				require.Contains(t, profiles, make)
			}
			for _, code := range codes {
				if expectedOf(list, e.kind, make, code) != e {
					continue // a line of its own has it
				}
				for _, before := range []bool{true, false} {
					what := fmt.Sprintf("%s %s %d, before the prompt: %v", make, e.kind, code, before)
					o, next := refuse(t, orGeneric(profiles[make]), e.kind, code, before)
					require.Equal(t, before, o.Phase < at.PhasePDUSent, what)
					e.agrees(t, o, rules, what)
					require.Equal(t, e.next, next, "%s: what the modem does", what)
				}
			}
		}
	}
}

// TestEveryMake: the codes that mean most, through a modem of each family.
func TestEveryMake(t *testing.T) {
	list, rules := readErrors(t)
	names := map[string]string{"simcom800": "simcom-2g", "simcom7600": "simcom", "ublox": "u-blox", "ublox-toby": "u-blox-toby",
		"quectel-ep06": "quectel"} // siemens-mt is swept all the time: its erased slots count as used
	for _, profile := range emulator.Families() {
		make := profile
		if n := names[make]; n != "" {
			make = n
		}
		if !slices.ContainsFunc(family.Families(), func(f *family.Family) bool { return f.Name == make }) {
			continue
		}
		for _, c := range []struct {
			kind string
			code int
		}{{"cms", 38}, {"cms", 500}, {"cms", 512}, {"cms", 515}, {"cme", 30}, {"cme", 515}} {
			what := fmt.Sprintf("%s %s %d", make, c.kind, c.code)
			o, next := refuse(t, profile, c.kind, c.code, false)
			e := expectedOf(list, c.kind, make, c.code)
			e.agrees(t, o, rules, what)
			require.Equal(t, e.next, next, "%s: what the modem does", what)
		}
	}
}

func orGeneric(profile string) string {
	if profile == "" {
		return "generic"
	}
	return profile
}
