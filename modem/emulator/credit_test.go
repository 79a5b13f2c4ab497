package emulator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMessagesUseUpTheCredit(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{Price: 500, Operator: "Vodafone"}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet().command("+CMEE=1")
		send := func(to string) string {
			h.submit(submitTPDU(to, "hola"))
			return h.heard()
		}
		left := func() int64 {
			c, err := n.Credit(m.Number())
			require.NoError(t, err)
			return c
		}
		require.Contains(t, h.command(`+CUSD=1,"*134#",15`)+h.after(time.Second), "Su saldo es 12,34 EUR.")
		require.Contains(t, send("+34600111222"), "+CMGS:")
		require.Contains(t, send("+34600111222"), "+CMGS:")
		require.EqualValues(t, 234, left())
		require.Contains(t, send("+34600111222"), "+CMS ERROR: 21", "what is left does not pay for it")
		require.EqualValues(t, 234, left(), "what is refused costs nothing")
		require.Contains(t, h.command(`+CUSD=1,"*140#",15`)+h.after(time.Second), "Su saldo es 12,34 EUR.")
		require.Contains(t, send("+34609999401"), "+CMGS:")
		require.Zero(t, left(), "it takes all")
		require.Contains(t, send("+34600111222"), "+CMS ERROR: 21")
		require.NoError(t, n.SetCredit(m.ICCID(), 500))
		require.Contains(t, send("+34600111222"), "+CMGS:")
		require.ErrorIs(t, n.SetCredit("nobody", 1), ErrNoSuchSIM)
		_, err := n.Credit("nobody")
		require.ErrorIs(t, err, ErrNoSuchSIM)
	})
}

func TestTheIMSIIsOfTheOperatorsNetwork(t *testing.T) {
	n := NewNetwork(NetworkOptions{})
	defer n.Close()
	for operator, network := range map[string]string{"": "21407", "Movistar": "21407", "Vodafone ES": "21401", "Orange": "21403", "YOIGO": "21404", "DIGI": "21422", "Lycamobile": "21425"} {
		require.Equal(t, network, n.AddModem(ModemOptions{Operator: operator}).o.IMSI[:5], operator)
	}
}

// AT+CMMS keeps the link open for some seconds after an answer (TS 27.005 3.5.6):
// 2 for every burst, 1 for one.
func TestAKeptLinkSavesTime(t *testing.T) {
	for mode, again := range map[string]time.Duration{"2": time.Second, "1": 2 * time.Second} {
		t.Run(mode, func(t *testing.T) {
			one(t, NetworkOptions{Latency: 2 * time.Second, LinkSaves: 0.5}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
				h.quiet()
				took := func() time.Duration {
					start := time.Now()
					h.submit(submitTPDU("+34600111222", "hola"))
					require.Contains(t, h.after(2*time.Second), "+CMGS:")
					list := typed(n, EntrySubmit)
					return list[len(list)-1].Time.Sub(start)
				}
				full := 2 * time.Second
				require.Equal(t, full, took())
				require.Equal(t, full, took(), "without AT+CMMS nothing is kept")
				require.Contains(t, h.command("+CMMS="+mode), "OK")
				require.Equal(t, full, took(), "the first opens it")
				require.Equal(t, full/2, took())
				require.Equal(t, full/2, took())
				h.after(10 * time.Second)
				require.Equal(t, full, took(), "it was closed")
				require.Equal(t, again, took())
				m.Inject(Fault{Kind: FaultLinkBreaks})
				h.command("+CMMS=0")
				require.Equal(t, full, took(), "only a kept link breaks")
			})
		})
	}
}
