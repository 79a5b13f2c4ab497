package modem

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/modem/pdu"
)

// TestReportsAreReadUnderLoad: where every report is a stored message that wants
// to be read and deleted, a queue that never ends does not fill the memory, and
// answers are not kept waiting.
func TestReportsAreReadUnderLoad(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "novatel", SMSlots: 20, MESlots: 20}, nil, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, 2, l.m.Snapshot().ReportsBy)
		var most time.Duration
		came := map[string]time.Time{}
		seen := func() {
			for _, text := range l.box.texts() {
				if at, waits := came[text]; waits {
					most = max(most, time.Since(at))
					delete(came, text)
				}
			}
		}
		const messages = 80
		for i := range messages {
			if i%4 == 0 {
				text := fmt.Sprint("entra ", i)
				came[text] = time.Now()
				l.inbound(text)
			}
			o, _ := l.send(fmt.Sprintf("+346001112%02d", i), "hola")
			require.Equal(l.t, Accepted, o.Verdict)
			seen()
		}
		n := len(l.box.kind(pdu.KindStatusReport))
		require.GreaterOrEqual(l.t, n, messages-8, "reports that were read while messages were sent")
		l.until("the last reports", 30*time.Second, func() bool {
			seen()
			return len(l.box.kind(pdu.KindStatusReport)) == messages && len(came) == 0
		})
		t.Log("the longest that an answer waited:", most)
		require.Less(l.t, most, 20*time.Second)
	})
}
