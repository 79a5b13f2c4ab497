package modem

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// TestSlotOfAnother: between the reading and the deletion of a message another
// one has come into its place. It is read, not deleted.
func TestSlotOfAnother(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		other, device := net.Pipe() // of another program
		ctx, stop := context.WithCancel(l.t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer other.Close()
		defer stop()
		wg.Go(func() { _ = l.em.Serve(ctx, device) })
		wg.Go(func() { _, _ = io.Copy(io.Discard, other) })
		l.send("+34600111222", "uno")
		require.NoError(l.t, l.net.Inbound(l.em.ICCID(), "+34600111222", "primero"))
		for len(l.box.texts()) == 0 {
			l.send("+34600111222", "más")
		}
		require.Equal(l.t, 1, l.em.Stored(), "its deletion waits for a quiet moment")
		_, err := other.Write([]byte("AT+CMGD=1\r"))
		require.NoError(l.t, err)
		l.pass(100 * time.Millisecond)
		require.NoError(l.t, l.net.Inbound(l.em.ICCID(), "+34600111222", "segundo"))
		for range 8 {
			l.send("+34600111222", "más")
		}
		l.until("the second", time.Minute, func() bool { return slices.Contains(l.box.texts(), "segundo") })
		l.until("an empty memory", time.Minute, func() bool { return l.em.Stored() == 0 })
		require.Len(l.t, l.box.texts(), 2)
	})
}

// TestSilentRebootKeepsMessages: after a restart that nobody noticed another
// memory is the one that is read from. Nothing that was not read is deleted.
func TestSilentRebootKeepsMessages(t *testing.T) {
	for _, family := range []string{"generic", "quectel", "huawei", "zte"} {
		for wait := range 6 {
			live(t, emulator.ModemOptions{Family: family}, nil, func(l *lifeOf) {
				l.ready()
				var want []string
				in := func(text string) {
					want = append(want, text)
					require.NoError(l.t, l.net.Inbound(l.em.ICCID(), "+34600111222", text))
				}
				l.box.mu.Lock()
				l.box.refuse = fmt.Errorf("not now")
				l.box.mu.Unlock()
				for i := range 3 {
					in(fmt.Sprint("antes ", i))
				}
				l.pass(time.Second)
				l.em.Inject(emulator.Fault{Kind: emulator.FaultSilentReboot})
				l.pass(time.Duration(wait) * 700 * time.Millisecond)
				for i := range 3 {
					in(fmt.Sprint("después ", i))
				}
				l.box.mu.Lock()
				l.box.refuse = nil
				l.box.mu.Unlock()
				l.until("all of them, and an empty memory", 12*time.Minute, func() bool {
					got := l.box.texts()
					slices.Sort(got)
					return slices.Equal(want, slices.Compact(got)) && l.em.Stored() == 0
				})
			})
		}
	}
}
