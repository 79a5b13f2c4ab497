package emulator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSwallowed: accepted, and nowhere to be seen, until the fault has ended.
func TestSwallowed(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		other := n.AddModem(ModemOptions{Number: "+34611222333"})
		m.Inject(Fault{Kind: FaultSwallow, Count: -1})
		h.quiet().command("+CNMI=2,1,0,1,0")
		for range 2 {
			h.submit(submitTPDU("+34611222333", "hola"))
			require.Contains(t, h.heard(), "+CMGS: ")
		}
		h.after(time.Hour)
		require.Len(t, typed(n, EntrySubmit), 2)
		require.True(t, typed(n, EntrySubmit)[1].Accepted)
		require.Empty(t, typed(n, EntryReport))
		require.Zero(t, other.Stored())
		m.ClearFaults()
		h.submit(submitTPDU("+34611222333", "hola"))
		h.after(time.Second)
		require.Equal(t, 1, other.Stored())
		require.Len(t, typed(n, EntryReport), 1)
	})
}

// TestReceivesNothing: registered, and what is for it stays in the network, or is
// lost.
func TestReceivesNothing(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet().command("+CNMI=2,1,0,1,0")
		m.Inject(Fault{Kind: FaultNoInbound})
		require.NoError(t, n.Inbound(m.Number(), "+34600222333", "uno"))
		h.submit(submitTPDU("+34600111222", "hola"))
		h.after(time.Hour)
		require.Zero(t, m.Stored())
		require.Empty(t, typed(n, EntryReport))
		h.heard()
		require.Contains(t, h.command("+CREG?"), "+CREG: 0,1")
		m.ClearFaults()
		h.after(time.Second)
		require.Equal(t, 1, m.Stored())
		require.Len(t, typed(n, EntryReport), 1)

		m.Inject(Fault{Kind: FaultNoInbound, Text: "lost"})
		require.NoError(t, n.Inbound(m.Number(), "+34600222333", "dos"))
		h.submit(submitTPDU("+34600111222", "hola"))
		h.after(time.Hour)
		require.Len(t, typed(n, EntryReport), 2)
		m.ClearFaults()
		h.after(time.Hour)
		require.Equal(t, 1, m.Stored())
	})
}
