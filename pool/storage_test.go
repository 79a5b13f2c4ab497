package pool_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue/inbox"
)

// drive gives a modem commands before the pool has it.
func drive(t *testing.T, m *emulator.Modem, steps ...string) {
	t.Helper()
	p, err := m.Open(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	for i := 0; i < len(steps); i += 2 {
		_, err := io.WriteString(p, steps[i])
		require.NoError(t, err)
		var heard strings.Builder
		buf := make([]byte, 256)
		for !strings.Contains(heard.String(), steps[i+1]) {
			n, err := p.Read(buf)
			require.NoError(t, err)
			heard.Write(buf[:n])
			require.NotContains(t, heard.String(), "ERROR")
		}
	}
}

// TestDeleteForeign: what another device left on the SIM stays until an operator
// has it deleted, and makes no message.
func TestDeleteForeign(t *testing.T) { synctest.Test(t, testDeleteForeign) }

func testDeleteForeign(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{})
	m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond, SMSlots: 5})
	drive(t, m, "AT\r", "OK", "AT+CMGF=0\r", "OK", "AT+CPMS=\"SM\",\"SM\",\"SM\"\r", "OK",
		"AT+CMGW=15\r", ">", "0001000B914306112112F20000024833\x1a", "OK",
		"AT+CMGW=15,3\r", ">", "0001010B914306112112F20000024833\x1a", "OK")
	require.Equal(t, 2, m.Stored())
	require.NoError(t, r.pool.Add(pool.Port{Name: "emulated:1", Open: m.Open, Emulated: true}))
	r.ready(1)
	_, err := r.pool.DeleteForeign(t.Context(), "nobody")
	require.ErrorIs(t, err, pool.ErrNoModem)

	// A message comes and goes; what is not ours stays.
	require.NoError(t, r.net.Inbound(m.ICCID(), "+34600111222", "hola"))
	r.until("the message", func() bool {
		list, _, err := r.inbox.List(context.Background(), inbox.Filter{})
		require.NoError(t, err)
		return len(list) == 1 && m.Stored() == 2
	})
	n, err := r.pool.DeleteForeign(t.Context(), m.IMEI())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	r.until("an empty SIM", func() bool { return m.Stored() == 0 })
	list, _, err := r.inbox.List(t.Context(), inbox.Filter{})
	require.NoError(t, err)
	require.Len(t, list, 1)
}
