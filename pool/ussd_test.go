package pool_test

import (
	"context"
	"io"
	"log/slog"
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
	"recado/pool"
	"recado/queue"
)

func TestUSSDOnASIM(t *testing.T) { synctest.Test(t, testUSSDOnASIM) }

func testUSSDOnASIM(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{})
	r.ready(2)
	ctx := t.Context()
	one, two := r.modems[0], r.modems[1]
	answer, err := r.pool.USSD(ctx, two.ICCID(), "*133#")
	require.NoError(t, err)
	require.Equal(t, modem.USSDAnswer{Text: "Su numero es " + two.Number(), Status: modem.USSDDone}, answer, "on the line that has it")
	name := "Registro"
	_, err = r.pool.UpdateSIM(ctx, one.ICCID(), queue.SIMPatch{Name: &name})
	require.NoError(t, err)
	answer, err = r.pool.USSD(ctx, "Registro", " *100# ")
	require.NoError(t, err)
	require.Equal(t, modem.USSDReplyWanted, answer.Status)
	_, err = r.pool.USSDReply(ctx, two.ICCID(), "3")
	require.ErrorIs(t, err, modem.ErrNoUSSDSession, "the other one asks nothing")
	answer, err = r.pool.USSDReply(ctx, "Registro", "3")
	require.NoError(t, err)
	require.Equal(t, "Su numero es "+one.Number(), answer.Text)
	require.NoError(t, r.pool.USSDEnd(ctx, "Registro"))

	_, err = r.pool.USSD(ctx, "nope", "*123#")
	require.ErrorIs(t, err, pool.ErrNoSIM)
	require.ErrorIs(t, r.pool.USSDEnd(ctx, "nope"), pool.ErrNoSIM)
	_, err = r.pool.USSDReply(ctx, "nope", "1")
	require.ErrorIs(t, err, pool.ErrNoSIM)

	// Neither a SIM that is switched off nor a pause keeps from asking its balance.
	off := false
	_, err = r.pool.UpdateSIM(ctx, two.ICCID(), queue.SIMPatch{Enabled: &off})
	require.NoError(t, err)
	require.NoError(t, r.pool.Pause(ctx))
	answer, err = r.pool.USSD(ctx, two.ICCID(), "*123#")
	require.NoError(t, err)
	require.Equal(t, modem.USSDDone, answer.Status)

	iccid := two.ICCID()
	two.Unplug()
	r.until("the modem to go", func() bool { return r.pool.Modems()[1].State == modem.StateAbsent })
	_, err = r.pool.USSD(ctx, iccid, "*123#")
	require.ErrorIs(t, err, pool.ErrSIMAway)
	require.NotEqual(t, pool.ErrSIMAway.Error(), err.Error(), "it says why")
}

func TestUSSDOneAtATime(t *testing.T) { synctest.Test(t, testUSSDOneAtATime) }

func testUSSDOneAtATime(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{})
	r.ready(1)
	sim := r.modems[0].ICCID()
	waiting, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := r.pool.USSD(waiting, sim, "*104#"); ended <- err }()
	require.Eventually(t, func() bool { // the modem's dialogue has no hint to wait for
		lines, err := r.pool.Trace(r.modems[0].IMEI())
		return err == nil && slices.ContainsFunc(lines, func(e at.TraceEntry) bool { return e.Out && strings.HasPrefix(e.Line, "AT+CUSD=1") })
	}, 10*time.Second, 5*time.Millisecond)
	_, err := r.pool.USSD(t.Context(), sim, "*123#")
	require.ErrorIs(t, err, modem.ErrUSSDBusy)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestUSSDRefused(t *testing.T) { synctest.Test(t, testUSSDRefused) }

func testUSSDRefused(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{})
	r.ready(1)
	sim := r.modems[0].ICCID()
	services := []string{"21", "61", "62", "67", "002", "004", "33", "330", "331", "332", "333", "35", "351", "353",
		"03", "04", "042", "05", "052", "43", "30", "31", "76", "77", "300", "37", "66", "75", "88", "96"}
	var codes []string
	for _, service := range services {
		for _, prefix := range []string{"*", "**", "#", "##", "*#", "***", "#*", ""} {
			for _, rest := range []string{"#", "*600111222#", "**10#", ""} {
				codes = append(codes, prefix+service+rest)
			}
		}
		codes = append(codes, "*123#*"+service+"*600111222#")
	}
	codes = append(codes, "", " ", "*123#\r", "*123#\x1aAT", `*1#",15`, "123a#", "+34#", strings.Repeat("1", 31), "*１２３#", "*31#600111222")
	for _, code := range codes {
		_, err := r.pool.USSD(t.Context(), sim, code)
		if code == "*123#\r" {
			require.NoError(t, err, "blanks around are no part of it")
			continue
		}
		var refused *pool.USSDRefusedError
		require.ErrorAs(t, err, &refused, "%q", code)
		require.Equal(t, strings.TrimSpace(code), refused.Code)
		require.NotEmpty(t, refused.Why)
	}
	for _, code := range []string{"*#06#", "*123#", "*21600#", "*210#", "*100*21#", "*133*33#", "611", "#123#", "*1*2*3#"} {
		_, err := r.pool.USSD(t.Context(), sim, code)
		require.NoError(t, err, code)
	}
	for _, text := range []string{"", "  ", strings.Repeat("1", 183), "**21*600111222#", "#31#"} {
		_, err := r.pool.USSDReply(t.Context(), sim, text)
		var refused *pool.USSDRefusedError
		require.ErrorAs(t, err, &refused, "%q", text)
	}
	_, err := r.pool.USSDReply(t.Context(), sim, strings.Repeat("ñ", 182))
	require.ErrorIs(t, err, modem.ErrUSSDRefused, "nothing in it can be sent")
}

// The log tells that something was asked, and nothing of what.
func TestUSSDIsLoggedWithoutItsText(t *testing.T) { synctest.Test(t, testUSSDIsLoggedWithoutItsText) }

func testUSSDIsLoggedWithoutItsText(t *testing.T) {
	var log lockedLog
	r := loggingRig(t, &log)
	r.ready(1)
	sim := r.modems[0].ICCID()
	_, err := r.pool.USSD(t.Context(), sim, "*100*998877665544#")
	require.NoError(t, err)
	_, err = r.pool.USSD(t.Context(), sim, "*100#")
	require.NoError(t, err)
	_, err = r.pool.USSDReply(t.Context(), sim, "3")
	require.NoError(t, err)
	text := log.String()
	require.Contains(t, text, "service=*100 status=done")
	require.Contains(t, text, "what=replied")
	for _, secret := range []string{"998877665544", "numero", sim, r.modems[0].Number()} {
		require.NotContains(t, text, secret)
	}
}

// lockedLog is where a log goes.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// loggingRig has one emulated modem, and a pool that logs everything to w.
func loggingRig(t *testing.T, w io.Writer) *rig {
	t.Helper()
	silent := emptyRig(t, emulator.NetworkOptions{})
	r := &rig{t: t, clock: silent.clock, net: silent.net, store: silent.store, inbox: silent.inbox}
	r.pool = pool.New(pool.Options{Store: r.store, Inbox: r.inbox, Clock: r.clock, Log: slog.New(slog.NewTextHandler(w, nil))})
	m := r.net.AddModem(emulator.ModemOptions{})
	r.modems = append(r.modems, m)
	require.NoError(t, r.pool.Add(pool.Port{Name: "emulated:1", Open: m.Open, Emulated: true}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.pool.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return r
}

// A line whose modem waits for the network's answer to a code is given nothing that
// another could send, be that busy for a moment; what only it may send waits for it.
func TestNothingWaitsBehindACode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 2 * time.Second, ReportDelay: 12 * time.Hour})
		r.ready(2)
		dials, other := r.modems[0].ICCID(), r.modems[1].ICCID()
		over := make(chan error, 1)
		go func() {
			_, err := r.pool.USSD(t.Context(), dials, "*108#") // answers after 20 s
			over <- err
		}()
		time.Sleep(2 * time.Second)
		own := r.submit(queue.Request{To: []string{number(9)}, Text: "hola", SIM: dials})[0]
		for i := range 4 {
			begun := time.Now()
			m := r.submit(queue.Request{To: []string{number(i)}, Text: "su código es 4321", Class: queue.OTP})[0]
			again := r.submit(queue.Request{To: []string{number(i)}, Text: "su código es 1234", Class: queue.OTP})[0]
			require.Equal(t, other, r.reaches(m.ID, queue.Sent).SIM)
			require.Equal(t, other, r.reaches(again.ID, queue.Sent).SIM)
			require.Less(t, time.Since(begun), 4500*time.Millisecond)
		}
		require.NotEqual(t, queue.Sent, r.message(own.ID).State)
		require.NoError(t, <-over)
		r.reaches(own.ID, queue.Sent)
		m := r.submit(queue.Request{To: []string{number(1)}, Text: "hola"})[0]
		require.NoError(t, r.pool.PauseSIM(t.Context(), other, true))
		r.reaches(m.ID, queue.Sent)
	})
}
